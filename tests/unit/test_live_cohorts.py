"""Alerts joined with the truth: sums by cohort, and nothing of anybody."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from pipeline.records import Alert
from pipeline.runtime.live_cohorts import LiveCohort, LiveCohorts, cohorts_plot, live_cohorts
from pipeline.synthetic.cohorts import cohorts_of_street
from pipeline.synthetic.seeds import Population, group
from pipeline.synthetic.street import FaceTruth, PlantedPass, Street, StreetSpec

CAMERA = "north/cam-000"
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def street() -> Street:
    """A street on which listed people and others walk."""
    listed = group(Population.WATCHLIST, 2, 40)
    return Street(StreetSpec(seed=2, camera=CAMERA, listed=listed, listed_share=0.5, density=30.0))


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
    return Alert(
        id="0123456789abcdef", camera=CAMERA, camera_run="r", sequence=planted.first_sequence, entry=entry,
        score=score, threshold=0.6, capture_ns=0, cooldown_ns=0, append_ns=0, decided_ns=0,
        box=face_of(street, planted).box, frame_partition=0, frame_offset=0, watchlist_version=1, embedder_version="e",
        run="run", slot=0,
    )  # fmt: skip


def counted(passes: list[PlantedPass], sent: int) -> list[PlantedPass]:
    """Passes that should have alerted."""
    return [each for each in passes if each.listed and each.within_working_distance and each.last_sequence < sent - 1]


def in_dimension(found: LiveCohorts, dimension: str) -> list[LiveCohort]:
    """The cohorts of one dimension."""
    return [each for each in found.cohorts if each.dimension == dimension]


def test_every_dimension_adds_up_to_all_passes(street: Street, sent: int, passes: list[PlantedPass]) -> None:
    """Each pass lies in one cohort of each dimension, whether it alerted or not."""
    wanted = counted(passes, sent)
    found = live_cohorts(
        {CAMERA: street}, {CAMERA: sent}, [alert(street, each, each.entry) for each in wanted[1:]], seed=1
    )
    strangers = sum(not each.listed for each in passes)
    for dimension in ("skin", "glasses", "covering", "age_look"):
        rows = in_dimension(found, dimension)
        assert sum(row.tpir.trials for row in rows) == len(wanted)
        assert sum(row.tpir.events for row in rows) == sum(sum(row.mated_alerts) for row in rows) == len(wanted) - 1
        assert sum(row.mated_without_alert for row in rows) == 1
        assert sum(row.fpir.trials for row in rows) == sum(row.non_mated_without_alert for row in rows) == strangers
        assert sum(row.fpir.events for row in rows) == 0
    assert (found.threshold, found.elsewhere) == (0.6, 0)


def test_false_alert_counts_in_the_cohort_of_whom_was_seen(
    street: Street, sent: int, passes: list[PlantedPass]
) -> None:
    """Two alerts of one pass are one search with the better score."""
    stranger = next(each for each in passes if not each.listed)
    alerts = [alert(street, stranger, "watchlist-000001", score) for score in (0.65, 0.83)]
    found = live_cohorts({CAMERA: street}, {CAMERA: sent}, alerts, seed=1)
    label = cohorts_of_street(street.spec)[int(stranger.pass_id.rsplit("/", 1)[1])]
    for dimension, name in label._asdict().items():
        (row,) = (each for each in in_dimension(found, dimension) if each.fpir.events)
        assert (row.name, row.fpir.events) == (name, 1)
        (bin_,) = (index for index, count in enumerate(row.non_mated_alerts) if count)
        assert found.histogram_edges[bin_] <= 0.83 <= found.histogram_edges[bin_ + 1]
    assert found.elsewhere == 0


def test_alerts_for_somebody_else_or_on_no_face_are_in_no_cohort(
    street: Street, sent: int, passes: list[PlantedPass]
) -> None:
    """A listed person taken for another one is neither a hit nor a search of somebody who is not listed."""
    listed = counted(passes, sent)[0]
    other = alert(street, listed, "watchlist-999999")
    nobody = msgspec.structs.replace(alert(street, listed, listed.entry), box=(0.0, 0.0, 2.0, 2.0))
    found = live_cohorts({CAMERA: street}, {CAMERA: sent}, [other, nobody], seed=1)
    assert found.elsewhere == 2
    assert all(each.tpir.events == each.fpir.events == 0 for each in found.cohorts)


def test_without_frames_there_is_no_cohort(street: Street) -> None:
    """A run that ended before its first frame."""
    found = live_cohorts({CAMERA: street}, {}, [], seed=1)
    assert found.cohorts == found.differentials == ()
    assert cohorts_plot(found, "run").startswith(b"\x89PNG")


def test_written_cohorts_follow_their_schema_and_name_nobody(
    street: Street, sent: int, passes: list[PlantedPass]
) -> None:
    """Other programs read the file by docs/cohorts.schema.json; no entry, pass, camera or person is in it."""
    wanted = counted(passes, sent)
    found = live_cohorts({CAMERA: street}, {CAMERA: sent}, [alert(street, each, each.entry) for each in wanted], seed=1)
    text = msgspec.json.encode(found).decode()
    jsonschema.validate(json.loads(text), json.loads((DOCS / "cohorts.schema.json").read_text(encoding="utf-8")))
    assert not any(word in text for word in (CAMERA, wanted[0].entry, str(wanted[0].identity)))
    assert cohorts_plot(found, "run").startswith(b"\x89PNG")
