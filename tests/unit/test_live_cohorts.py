"""Alerts joined with the truth: sums by cohort, and nothing of anybody."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from listed_street import ALERT, CAMERA, listed_street

from pipeline.records import Alert
from pipeline.runtime.live_cohorts import LiveCohort, LiveCohorts, Provenance, cohorts_plot, live_cohorts
from pipeline.runtime.truth import join, join_all, judge
from pipeline.synthetic.cohorts import cohorts_of_street
from pipeline.synthetic.street import FaceTruth, PlantedPass, Street, walk_of

PROVENANCE = Provenance("run", 1, "e", 0.6)
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def street() -> Street:
    """A street on which listed people and others walk."""
    return listed_street()


@pytest.fixture(scope="module")
def sent(street: Street) -> int:
    """Frames that were sent: two rounds."""
    return 2 * street.frames_per_loop


@pytest.fixture(scope="module")
def passes(street: Street, sent: int) -> list[PlantedPass]:
    """All passes."""
    return street.passes(0, sent - 1)


def face_of(street: Street, planted: PlantedPass) -> FaceTruth:
    """The face of a pass on its first frame."""
    faces = street.truth(planted.first_sequence).faces
    return next(face for face in faces if face.pass_id == planted.pass_id)


def alert(street: Street, planted: PlantedPass, entry: str, score: float = 0.71) -> Alert:
    """An alert on a pass's first frame."""
    box = face_of(street, planted).box
    return msgspec.structs.replace(ALERT, sequence=planted.first_sequence, entry=entry, score=score, box=box)


def found_in(street: Street, sent: int, alerts: list[Alert]) -> LiveCohorts:
    """The cohorts of one camera's alerts."""
    joined, elsewhere = join_all({CAMERA: street}, {CAMERA: sent}, alerts)
    return live_cohorts(joined, elsewhere, PROVENANCE)


def counted(passes: list[PlantedPass], sent: int) -> list[PlantedPass]:
    """Passes that should have alerted."""
    return [each for each in passes if each.listed and each.within_working_distance and each.last_sequence < sent - 1]


def in_dimension(found: LiveCohorts, dimension: str) -> list[LiveCohort]:
    """The cohorts of one dimension."""
    return [each for each in found.cohorts if each.dimension == dimension]


def test_every_dimension_adds_up_to_the_verdict_of_the_summary(
    street: Street, sent: int, passes: list[PlantedPass]
) -> None:
    """Each pass lies in one cohort of each dimension, wherever the box of its alert lies."""
    wanted = counted(passes, sent)
    alerts = [alert(street, each, each.entry) for each in wanted[1:]]
    alerts[0] = msgspec.structs.replace(alerts[0], box=(0.0, 0.0, 2.0, 2.0))
    found = found_in(street, sent, alerts)
    verdict = judge(join(street, sent, alerts))
    assert (verdict.planted_passes, verdict.alerted_passes) == (len(wanted), len(wanted) - 1)
    for dimension in ("skin", "glasses", "covering", "age_look"):
        rows = in_dimension(found, dimension)
        assert sum(row.tpir.trials for row in rows) == verdict.planted_passes
        assert sum(row.tpir.events for row in rows) == verdict.alerted_passes
        assert sum(sum(row.mated_histogram) for row in rows) == verdict.alerted_passes
        assert sum(row.mated_without_alert for row in rows) == 1
        assert sum(row.fpir.trials for row in rows) == verdict.non_mated_passes
        assert sum(row.non_mated_without_alert for row in rows) == verdict.non_mated_passes
        assert sum(row.fpir.events for row in rows) == 0
    assert (found.not_asked_for, found.for_another, found.on_no_face) == (0, 0, 0)


def test_false_alert_counts_in_the_cohort_of_whom_was_seen(
    street: Street, sent: int, passes: list[PlantedPass]
) -> None:
    """Two alerts of one pass are one search with the better score."""
    stranger = next(each for each in passes if not each.listed)
    found = found_in(street, sent, [alert(street, stranger, "watchlist-000001", score) for score in (0.65, 0.83)])
    label = cohorts_of_street(street.spec)[walk_of(stranger.pass_id)]
    for dimension, name in label._asdict().items():
        (row,) = (each for each in in_dimension(found, dimension) if each.fpir.events)
        assert (row.name, row.fpir.events) == (name, 1)
        (bin_,) = (index for index, count in enumerate(row.non_mated_histogram) if count)
        assert found.histogram_edges[bin_] <= 0.83 <= found.histogram_edges[bin_ + 1]


def test_alerts_that_belong_to_no_cohort_are_counted_by_why(
    street: Street, sent: int, passes: list[PlantedPass]
) -> None:
    """For somebody else (a pass once), on no face, of a camera without a street, or right but not asked for."""
    listed = counted(passes, sent)[0]
    far = next(each for each in passes if each.listed and not each.within_working_distance)
    other = alert(street, listed, "watchlist-999999")
    another = alert(street, listed, "watchlist-888888")
    nobody = msgspec.structs.replace(other, box=(0.0, 0.0, 2.0, 2.0))
    strange = msgspec.structs.replace(other, camera="elsewhere")
    found = found_in(street, sent, [other, another, nobody, strange, alert(street, far, far.entry)])
    assert (found.not_asked_for, found.for_another, found.on_no_face) == (1, 1, 2)
    assert all(each.tpir.events == each.fpir.events == 0 for each in found.cohorts)


def test_without_frames_there_is_no_cohort(street: Street) -> None:
    """A run that ended before its first frame."""
    found = found_in(street, 0, [])
    assert found.cohorts == found.differentials == ()
    assert cohorts_plot(found).startswith(b"\x89PNG")


def test_written_cohorts_follow_their_schema_and_name_nobody(
    street: Street, sent: int, passes: list[PlantedPass]
) -> None:
    """Other programs read the file by docs/cohorts.schema.json; no entry, pass, camera or person is in it."""
    wanted = counted(passes, sent)
    found = found_in(street, sent, [alert(street, each, each.entry) for each in wanted])
    text = msgspec.json.encode(found).decode()
    jsonschema.validate(json.loads(text), json.loads((DOCS / "cohorts.schema.json").read_text(encoding="utf-8")))
    assert not any(word in text for word in (CAMERA, wanted[0].entry, str(wanted[0].identity)))
    assert cohorts_plot(found).startswith(b"\x89PNG")
