"""Demos held against evaluation: what is added up, what may be expected, and what cannot be compared."""

from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from loadtest.agreement import Demos, added, judged, main, operating_point
from pipeline.errors import InputError
from pipeline.evaluation.rate import Rate
from pipeline.runtime.evaluation_results import Operating
from pipeline.runtime.live_cohorts import LiveCohort, LiveCohorts, Provenance

DEMOS = Demos(
    planted=100, planted_people=100, alerted=96, unlisted=900, unlisted_people=900, unlisted_alerted=8, for_another=2,
    on_no_face=0,
)  # fmt: skip
FPIR = Rate(100, 10_000, 10_000, 0.01, 0.008, 0.012, "clopper-pearson")


def operating(fpir: Rate = FPIR) -> Operating:
    """Rates at the shipped threshold."""
    return Operating(threshold=0.6, chosen=None, fpir=fpir, tpir=Rate(97, 100, 90, 0.97, 0.91, 0.99, "none"))


def cohort(dimension: str, alerted: int, unlisted: int) -> LiveCohort:
    """A cohort of a demo."""
    rate = Rate(alerted, unlisted, unlisted // 2, None, 0.0, 1.0, "none")
    return LiveCohort(dimension, "a", (), (), 0, 0, rate, rate)


def live(*cohorts: LiveCohort, for_another: int = 0) -> LiveCohorts:
    """The cohorts of a demo."""
    return LiveCohorts(
        schema_version=1,
        provenance=Provenance("run", 1, "abc", 0.6),
        histogram_edges=(),
        not_asked_for=0,
        for_another=for_another,
        on_no_face=1,
        cohorts=cohorts,
        differentials=(),
    )


class FakeSummary(msgspec.Struct):
    """The part of a demo's summary that is read."""

    truth: object
    settings: dict[str, str] = msgspec.field(default_factory=lambda: {"demo.watchlist_size": "200"})


class FakeTruth(msgspec.Struct):
    """What was planted."""

    planted_passes: int
    alerted_passes: int


def test_a_pass_is_added_once_however_many_dimensions_it_has_a_cohort_in() -> None:
    """Skin and glasses both hold all passes, so one of them is summed."""
    one = live(cohort("skin", 1, 60), cohort("skin", 0, 40), cohort("glasses", 1, 100), for_another=2)
    found = added([(FakeSummary(FakeTruth(30, 29)), one)] * 2)  # type: ignore[list-item]  # only what is read
    assert found == Demos(
        planted=60, planted_people=100, alerted=58, unlisted=200, unlisted_people=100, unlisted_alerted=2,
        for_another=4, on_no_face=2,
    )  # fmt: skip


def test_passes_of_one_person_are_no_independent_trials() -> None:
    """Each pass shown twice says what it says once: both intervals stay those of the people."""
    twice = msgspec.structs.replace(DEMOS, planted=200, alerted=192, unlisted=1800, unlisted_alerted=16, for_another=4)
    once, again = judged(DEMOS, operating()), judged(twice, operating())
    assert again.alerted_interval == pytest.approx(once.alerted_interval)
    assert again.expected == (2 * once.expected[0], 2 * once.expected[1])


def test_what_evaluation_predicts_is_as_predicted_and_much_more_or_less_is_not() -> None:
    """Ten of a thousand at 0.8 to 1.2 % is expected; none and thirty are not."""
    verdict = judged(DEMOS, operating())
    assert verdict.alerted_enough
    assert verdict.false_as_predicted
    assert verdict.expected[0] < 8
    assert verdict.expected[1] > 12
    for false in (0, 30):
        other = msgspec.structs.replace(DEMOS, unlisted_alerted=false, for_another=0)
        assert not judged(other, operating()).false_as_predicted
    assert not judged(msgspec.structs.replace(DEMOS, alerted=94), operating()).alerted_enough


@pytest.mark.parametrize("field", ["planted", "unlisted"])
def test_demos_without_passes_are_not_judged(field: str) -> None:
    """A rate of nothing is none."""
    with pytest.raises(InputError, match="no passes"):
        judged(msgspec.structs.replace(DEMOS, **{field: 0, f"{field}_people": 0}), operating())


def evaluation(**changes: object) -> object:
    """An evaluation, as far as it is read."""

    class Object:
        def __init__(self, **fields: object) -> None:
            self.__dict__.update(fields)

    values: dict[str, object] = {"per": "pass", "version": "abc", "gallery": 200, "difficulty": "street"} | changes
    result = Object(difficulty=values["difficulty"], gallery=values["gallery"], operating=(operating(),))
    return Object(
        options=Object(per=values["per"]), provenance=Object(embedder_version=values["version"]), results=(result,)
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"per": "face"}, "--per pass"),
        ({"version": "def"}, "embedder abc, the evaluation def"),
        ({"gallery": 1000}, "200 entries and threshold 0.6; the evaluation has street, 1000"),
        ({"difficulty": "night"}, "evaluation has night"),
    ],
)
def test_an_evaluation_of_something_else_is_refused_with_both_values(changes: dict[str, object], said: str) -> None:
    """Rates of another gallery, place or network predict nothing."""
    demos = [(FakeSummary(FakeTruth(1, 1)), live())]
    assert operating_point(evaluation(), demos) == operating()  # type: ignore[arg-type]  # only what is read
    with pytest.raises(InputError, match=said):
        operating_point(evaluation(**changes), demos)  # type: ignore[arg-type]  # as above


def test_a_folder_that_is_no_demos_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    """The file is named, without a traceback."""
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(tmp_path), "--evaluation", str(tmp_path / "none.json")])
    assert result.exit_code == InputError.exit_code
    assert f"{tmp_path / 'summary.json'} cannot be read" in result.stderr
