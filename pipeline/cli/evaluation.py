"""The command that measures error rates, and how it shows them."""

import math
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import SettingsFile, Verbose, examples, settings_of
from pipeline.vision.shipped import Backbone

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.runtime.evaluation_results import Evaluation, Result


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def evaluate(
    difficulty: Annotated[
        str, typer.Option(metavar="NAME", help="studio, street, night, crowd, or all of them.")
    ] = "street",
    per: Annotated[
        str, typer.Option(metavar="face|pass", help="Single pictures, or whole passes along a street.")
    ] = "face",
    gallery: Annotated[
        list[int] | None, typer.Option(metavar="N", help="People in the gallery; several times for several sizes.")
    ] = None,
    choice_gallery: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="People in the gallery that thresholds are chosen with: as many; fewer, and a threshold for a larger "
            "gallery follows as if it were made of independent parts of that size.",
        ),
    ] = None,
    searches: Annotated[
        int, typer.Option(metavar="M", help="Non-mated searches to test on; mated ones per face.")
    ] = 3000,
    choice_searches: Annotated[
        int | None, typer.Option(metavar="M", help="Non-mated searches to choose the threshold on: as many.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of people, pictures and streets.")] = 0,
    target_fpir: Annotated[float, typer.Option(metavar="RATE", help="FPIR that a threshold is wanted for.")] = 1e-3,
    pictures: Annotated[
        int | None, typer.Option(metavar="K", help="Pictures a gallery entry is made of: 6; 2 above 10,000 people.")
    ] = None,
    processes: Annotated[int | None, typer.Option(metavar="P", help="Processes that render; a core each.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="fp32, bf16 or int8, of the probes (entries: fp32); that of vision.precision, where auto is fp32.",
        ),
    ] = None,
    backbone: Annotated[
        Backbone | None, typer.Option(help="Which of the shipped embedders; that of vision.backbone.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Networks that training wrote; those of vision.weights, or shipped."),
    ] = None,
    shuffle_labels: Annotated[
        bool, typer.Option("--shuffle-labels", help="Control: compare each mated search with somebody else's entry.")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where scores, tables and plots go.")] = Path(
        "evaluation"
    ),
    settings_file: SettingsFile = None,
    verbose: Verbose = False,
) -> None:
    """Measure FPIR, TPIR and the threshold for a target, with intervals, on people who do not exist.

    Thresholds are chosen on other people than they are tested on. Per pass, a listed person's pass counts only if it
    came within working distance (40 px, 30° of yaw, a quarter hidden); every pass of anybody else counts.
    Galleries are kept in the user's cache, and an interrupted command goes on where it was.
    """
    vision = settings_of(
        settings_file,
        backbone=("vision.backbone", backbone),
        weights=("vision.weights", weights),
        precision=("vision.precision", precision),
    ).vision
    from pipeline.cli.progress import stage_progress
    from pipeline.runtime import evaluation as job

    job.require_evaluable(vision)
    plan = job.Plan(
        out=out,
        difficulty=difficulty,
        per=per,
        galleries=tuple(gallery or [1000]),
        choice_gallery=choice_gallery,
        searches=searches,
        choice_searches=choice_searches,
        seed=seed,
        target_fpir=target_fpir,
        pictures=pictures,
        processes=_cores() if processes is None else processes,
        precision="fp32" if vision.precision == "auto" else vision.precision,
        weights=vision.folder,
        shuffle_labels=shuffle_labels,
        command=shlex.join(["lamppost", *sys.argv[1:]]),
    )
    with stage_progress() as progress:

        def told(stage: str, done: int, total: int) -> None:
            progress(stage, done, total, math.nan)

        found = job.evaluate(plan, told)
    show(found, "--searches" if choice_searches is None else "--choice-searches")
    typer.echo(f"{out}: evaluation.json, scores.npz, rates.csv, cohorts.csv, det.png, cohorts.png written")


def show(found: "Evaluation", choice_option: str) -> None:
    """Print the figures as tables, and what they cannot say; `choice_option` sets how many searches choose."""
    from rich.console import Console

    console = Console()
    if found.options.shuffle_labels:
        console.print("labels shuffled: a control; TPIR has to be at chance, about 1 in N for each face at most")
    for result in found.results:
        console.print(_rates(found, result))
        console.print(_cohorts(result))
        for line in _notes(result, choice_option):
            console.print(line)


def _rates(found: "Evaluation", result: "Result") -> "Table":
    from rich.table import Table

    options = found.options
    table = Table(
        "target", "threshold (95 %)", "FPIR (95 %)", "TPIR, rank 1 (95 %)",
        title=f"{result.difficulty}, per {options.per}, gallery of {result.gallery:,} ({options.said_pictures} each)",
    )  # fmt: skip
    for point in result.operating:
        chosen = point.chosen
        table.add_row(
            "shipped" if chosen is None else f"{chosen.target:g}" + ("" if chosen.supported else " *"),
            f"{point.threshold:.4f}" + ("" if chosen is None else f" ({chosen.interval})"),
            point.fpir.said,
            point.tpir.said,
        )
    return table


def _cohorts(result: "Result") -> "Table":
    from rich.table import Table

    table = Table("cohort", "FPIR (95 %)", "TPIR, rank 1 (95 %)", "people")
    for each in result.cohorts:
        table.add_row(
            f"{each.dimension.replace('_', ' ')}: {each.name}" + (" (few)" if each.too_few else ""),
            each.fpir.said,
            each.tpir.said,
            f"{each.fpir.people:,} / {each.tpir.people:,}",
        )
    return table


def _notes(result: "Result", choice_option: str) -> list[str]:
    wanted = result.operating[0].chosen
    lines = [
        f"{kind}: {sample.searches:,} searches of {sample.people:,} people, no face found in {sample.not_acquired.said}"
        for kind, sample in (("chosen on", result.choice), ("non-mated", result.non_mated), ("mated", result.mated))
    ]
    if result.choice_gallery < result.gallery:
        lines.append(
            f"chosen with a gallery of {result.choice_gallery:,}, as if independent parts of that size made up the "
            f"{result.gallery:,}: FPIR comes out lower where people differ, higher where entries do"
        )
    if wanted is not None and not wanted.supported:
        lines.append(
            f"* {wanted.people:,} people do not support FPIR {wanted.target:g}: {choice_option} {wanted.needed} would; "
            "the threshold given has no upper end"
        )
    if result.boxes_on_no_face or result.mated_beyond_distance:
        lines.append(
            f"not counted: {result.mated_beyond_distance:,} passes of listed people beyond working distance; "
            f"{result.boxes_on_no_face:,} boxes on no face, {result.boxes_on_no_face_over_threshold:,} of them over "
            "the first threshold"
        )
    for each in result.differentials:
        name = f"{each.rate} by {each.dimension.replace('_', ' ')}"
        if each.ratio is None:
            lines.append(f"{name}: {each.note}")
        else:
            apart = "intervals apart" if each.distinct else "intervals overlap"
            note = f"; {each.note}" if each.note else ""
            lines.append(f"{name}: {each.worst} {each.ratio:.2f} times {each.best} ({apart}{note})")
    return lines


def add_to(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        epilog=examples(
            "lamppost evaluate",
            "lamppost evaluate --difficulty all --per pass --searches 3000 --out results",
            "lamppost evaluate --target-fpir 1e-4 --gallery 10000 --searches 30000",
            "lamppost evaluate --gallery 1000 --gallery 10000 --gallery 100000 --pictures 2 --difficulty studio",
            "lamppost evaluate --gallery 1000000 --choice-gallery 100000 --searches 20000 --target-fpir 1e-2",
        )
    )(evaluate)
