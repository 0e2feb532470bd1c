"""Whether demos err as evaluation says: `python -m loadtest.agreement --evaluation FILE OUT …`.

FILE is the `evaluation.json` of `lamppost evaluate --per pass --gallery 200`; each OUT is the folder of a finished demo
(`make demo ARGS="--seed 3 --out out3"`). Their passes are added up:

- a planted pass that counts has to alert for its own entry; the target is 95 %,
- a pass of anybody who is not listed is a trial to be taken for somebody, and so is that of a listed person to be taken
  for another. Evaluation's interval of FPIR at the same threshold says how many of them may be expected.

A loop shows its pictures again, so passes of one person are no independent trials: both intervals are as of one trial a
person.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from loadtest.command import decoded
from pipeline.errors import InputError, LamppostError
from pipeline.evaluation.intervals import binomial_range, clopper_pearson
from pipeline.evaluation.rate import Rate, percent
from pipeline.runtime.evaluation_results import Evaluation, Operating
from pipeline.runtime.live_cohorts import LiveCohorts
from pipeline.runtime.summary import Summary

DIFFICULTY: Final = "street"
TARGET_ALERTED: Final = 0.95
LASTING: Final = "skin"
"""Dimension whose cohorts divide people, and not their passes."""
SIDE: Final = 0.95
"""Confidence of the predicted count, given a rate."""


class Demos(msgspec.Struct, frozen=True, kw_only=True):
    """What some demos did, added up."""

    planted: int
    planted_people: int
    alerted: int
    unlisted: int
    """Passes of people who are not listed."""
    unlisted_people: int
    unlisted_alerted: int
    for_another: int
    """Passes of listed people with an alert for another's entry."""
    on_no_face: int

    @property
    def trials(self) -> int:
        """Passes that could be taken for somebody else."""
        return self.unlisted + self.planted

    @property
    def people(self) -> int:
        """People whose passes these are."""
        return self.unlisted_people + self.planted_people

    @property
    def false(self) -> int:
        """Of these, how many were."""
        return self.unlisted_alerted + self.for_another


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The demos beside the prediction."""

    demos: Demos
    tpir: Rate
    fpir: Rate
    """Both as evaluation has them at the demos' threshold."""
    alerted_interval: tuple[float, float]
    expected: tuple[int, int]
    """So few and so many false alerts may be expected."""
    alerted_enough: bool
    false_as_predicted: bool


def added(folders: Sequence[tuple[Summary, LiveCohorts]]) -> Demos:
    """Add demos up; the cohorts of one dimension that people do not change hold every pass and person once."""
    truths = [summary.truth for summary, _ in folders if summary.truth is not None]
    cohorts = [cohort for _, live in folders for cohort in live.cohorts if cohort.dimension == LASTING]
    unlisted = [cohort.fpir for cohort in cohorts]
    return Demos(
        planted=sum(truth.planted_passes for truth in truths),
        planted_people=sum(cohort.tpir.people for cohort in cohorts),
        alerted=sum(truth.alerted_passes for truth in truths),
        unlisted=sum(rate.trials for rate in unlisted),
        unlisted_people=sum(rate.people for rate in unlisted),
        unlisted_alerted=sum(rate.events for rate in unlisted),
        for_another=sum(live.for_another for _, live in folders),
        on_no_face=sum(live.on_no_face for _, live in folders),
    )


def judged(demos: Demos, operating: Operating) -> Verdict:
    """Hold the sums against evaluation's rates at the same threshold; InputError if there is nothing to judge."""
    low, high = operating.fpir.low, operating.fpir.high
    if not demos.planted_people or not demos.unlisted_people or low is None or high is None:
        raise InputError("no passes to judge: let the demos run for 60 s or more, and the evaluation have searches")
    passes = demos.trials / demos.people
    expected = (
        math.floor(passes * binomial_range(demos.people, low, SIDE)[0]),
        math.ceil(passes * binomial_range(demos.people, high, SIDE)[1]),
    )
    per_person = demos.planted_people / demos.planted
    return Verdict(
        demos=demos,
        tpir=operating.tpir,
        fpir=operating.fpir,
        alerted_interval=clopper_pearson(demos.alerted * per_person, demos.planted_people),
        expected=expected,
        alerted_enough=demos.alerted >= TARGET_ALERTED * demos.planted,
        false_as_predicted=expected[0] <= demos.false <= expected[1],
    )


def operating_point(evaluation: Evaluation, demos: Sequence[tuple[Summary, LiveCohorts]]) -> Operating:
    """Return evaluation's rates at the demos' threshold; raises InputError, naming both values, if it has another."""
    sizes = {int(summary.settings["demo.watchlist_size"]) for summary, _ in demos}
    versions = {live.provenance.embedder_version for _, live in demos} - {None}
    thresholds = {live.provenance.threshold for _, live in demos} - {None}
    if evaluation.options.per != "pass":
        raise InputError("the evaluation is per face; run `lamppost evaluate --per pass`")
    if versions != {evaluation.provenance.embedder_version}:
        raise InputError(
            f"the demos used embedder {_told(versions)}, the evaluation {evaluation.provenance.embedder_version}"
        )
    for result in evaluation.results:
        shipped = result.operating[-1]
        if result.difficulty == DIFFICULTY and {result.gallery} == sizes and {shipped.threshold} == thresholds:
            return shipped
    raise InputError(
        f"the demos had {DIFFICULTY}, {_told(sizes)} entries and threshold {_told(thresholds)}; the evaluation has "
        + "; ".join(f"{each.difficulty}, {each.gallery}, {each.operating[-1].threshold}" for each in evaluation.results)
    )


def _told(values: set[int] | set[str | None] | set[float | None]) -> str:
    return " and ".join(sorted(map(str, values))) or "none"


def show(verdict: Verdict, console: Console) -> None:
    """Print the sums, what was predicted, and whether they agree."""
    demos = verdict.demos
    share = percent(demos.alerted / demos.planted)
    low, high = map(percent, verdict.alerted_interval)
    table = Table("what", "demos", "evaluation", "")
    table.add_row(
        "planted passes alerted",
        f"{demos.alerted} of {demos.planted} of {demos.planted_people} people: {share} ({low} to {high})",
        verdict.tpir.said,
        f"target {percent(TARGET_ALERTED)}: {'reached' if verdict.alerted_enough else 'MISSED'}",
    )
    table.add_row(
        "passes taken for somebody else",
        f"{demos.false} of {demos.trials} of {demos.people} people "
        f"({demos.unlisted_alerted} unlisted, {demos.for_another} listed)",
        f"{verdict.fpir.said}: {verdict.expected[0]} to {verdict.expected[1]} of these",
        "as predicted" if verdict.false_as_predicted else "NOT AS PREDICTED",
    )
    table.add_row("alerts on no face", str(demos.on_no_face), "", "")
    console.print(table)


def main(
    demos: Annotated[list[Path], typer.Argument(metavar="OUT…", help="Folders of finished demos.")],
    evaluation: Annotated[Path, typer.Option(help="The evaluation.json of the same street, per pass.")],
) -> None:
    """Add demos up and hold them against what evaluation predicts; exit code 1 if a target is missed."""
    try:
        read = [
            (decoded(each / "summary.json", Summary), decoded(each / "cohorts.json", LiveCohorts)) for each in demos
        ]
        verdict = judged(added(read), operating_point(decoded(evaluation, Evaluation), read))
    except LamppostError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(error.exit_code) from error
    show(verdict, Console())
    if not (verdict.alerted_enough and verdict.false_as_predicted):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
