"""Evaluations of several seeds as one: `python -m loadtest.pooled OUT OUT …`.

Each OUT is the folder of a `lamppost evaluate` with a seed of its own and otherwise the same options: other people and
pictures, another gallery. Thresholds are chosen on the choices of all and tested on the tests of all, so that a sample
which takes a machine days can be made in parts, on several machines. The rates of each seed at the common threshold
stand beside: each has its own gallery, and they show what the interval of one evaluation does not hold.
"""

import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from zipfile import BadZipFile

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from loadtest.command import decoded, writable
from pipeline.errors import InputError, LamppostError
from pipeline.evaluation.rate import Rate
from pipeline.evaluation.rates import fpir, tpir
from pipeline.evaluation.searches import Mated, NonMated
from pipeline.runtime.evaluation_rates import Passes, operating_points
from pipeline.runtime.evaluation_results import Evaluation, Operating, Options, Provenance

SAME_OPTIONS: Final = (
    "difficulties", "per", "galleries", "choice_gallery", "pictures", "precision", "target_fpir", "shuffle_labels",
)  # fmt: skip
SAME_PROVENANCE: Final = ("version", "embedder_version", "detector_version", "shipped_threshold")
DAMAGED: Final = (ValueError, TypeError, EOFError, BadZipFile, zlib.error)
"""What numpy raises for a file that is not whole, or none of its kind."""


class Part(NamedTuple):
    """One evaluation, and the columns of its scores."""

    evaluation: Evaluation
    scores: dict[str, NDArray[Any]]


class SeedRates(msgspec.Struct, frozen=True, kw_only=True):
    """The rates of one seed, with its own gallery, at the common threshold."""

    seed: int
    fpir: Rate
    tpir: Rate


class Point(Operating, frozen=True, kw_only=True):
    """The rates of all at one threshold, and those of each seed."""

    seeds: tuple[SeedRates, ...]


class Pooled(msgspec.Struct, frozen=True, kw_only=True):
    """One difficulty with galleries of one size; the wanted target comes first, the shipped threshold last."""

    provenance: Provenance
    """Of the evaluation with the least seed."""
    options: Options
    difficulty: str
    gallery: int
    choice_gallery: int
    points: tuple[Point, ...]


def read(folder: Path) -> Part:
    """Return what an evaluation wrote into a folder; raises InputError, naming the file, if that cannot be read."""
    evaluation, scores = decoded(folder / "evaluation.json", Evaluation), folder / "scores.npz"
    try:
        with np.load(scores, allow_pickle=False) as file:
            return Part(evaluation, dict(file))
    except OSError as error:
        raise InputError(f"{scores} cannot be read: {error.strerror or error}") from error
    except DAMAGED as error:
        raise InputError(f"{scores} is not what `lamppost evaluate` writes: {error}") from error


def require_alike(parts: Sequence[Part]) -> None:
    """Raise InputError, naming the option and both values, unless seeds alone, and numbers of searches, differ."""
    if len(parts) < 2:
        raise InputError("one evaluation is its own table: name the folders of two or more, with a --seed each")
    seeds = [_seed(part) for part in parts]
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise InputError(f"--seed {twice[0]} is there twice: the same people would count as others")
    for of, names in (("options", SAME_OPTIONS), ("provenance", SAME_PROVENANCE)):
        for name in names:
            values = [getattr(getattr(part.evaluation, of), name) for part in parts]
            for seed, value in zip(seeds, values, strict=True):
                if value != values[0]:
                    raise InputError(
                        f"{name} is {values[0]} with --seed {seeds[0]} and {value} with --seed {seed}: "
                        "evaluate all with the same"
                    )


def searches_of(part: Part, name: str) -> Passes:
    """Return the searches of one evaluation, by pass; raises InputError if the scores lack a column."""
    columns = part.scores
    try:
        choice, others = (
            NonMated(*(columns[f"{name}_{kind}_{each}"] for each in ("best", "person", "pass"))).per_pass()
            for kind in ("choice", "nonmated")
        )
        mated = Mated(*(columns[f"{name}_mated_{each}"] for each in ("own", "rank_one", "person", "pass"))).per_pass()
    except KeyError as error:
        raise InputError(f"scores.npz of --seed {_seed(part)} lacks the column {error}") from error
    except ValueError as error:
        raise InputError(f"scores.npz of --seed {_seed(part)}, {name}: {error}") from error
    return Passes(choice, others, mated)


def _seed(part: Part) -> int:
    return part.evaluation.provenance.seed


def pool(parts: Sequence[Part]) -> list[Pooled]:
    """Return the rates of all evaluations together; raises InputError if they do not belong together."""
    require_alike(parts)
    parts = sorted(parts, key=_seed)
    found = []
    for result in parts[0].evaluation.results:
        name = f"{result.difficulty}_{result.gallery}"
        found.append(
            Pooled(
                provenance=parts[0].evaluation.provenance,
                options=parts[0].evaluation.options,
                difficulty=result.difficulty,
                gallery=result.gallery,
                choice_gallery=result.choice_gallery,
                points=tuple(_points(parts, name, result.gallery / result.choice_gallery)),
            )
        )
    return found


def _points(parts: Sequence[Part], name: str, times: float) -> list[Point]:
    own = {_seed(part): searches_of(part, name) for part in parts}
    searches = Passes(
        _non_mated([each.choice for each in own.values()]),
        _non_mated([each.non_mated for each in own.values()]),
        _mated([each.mated for each in own.values()]),
    )
    rng = np.random.default_rng([len(parts), len(searches.non_mated)])
    first = parts[0].evaluation
    return [
        Point(
            threshold=point.threshold,
            chosen=point.chosen,
            fpir=point.fpir,
            tpir=point.tpir,
            seeds=tuple(
                SeedRates(
                    seed=seed,
                    fpir=fpir(each.non_mated, point.threshold, rng),
                    tpir=tpir(each.mated, point.threshold, rng),
                )
                for seed, each in own.items()
            ),
        )
        for point in operating_points(
            searches, first.options.target_fpir, first.provenance.shipped_threshold, times, rng
        )
    ]


def _non_mated(parts: Sequence[NonMated]) -> NonMated:
    return NonMated(
        np.concatenate([each.best for each in parts]),
        _apart([each.person for each in parts]),
        _apart([each.passage for each in parts]),
    )


def _mated(parts: Sequence[Mated]) -> Mated:
    return Mated(
        np.concatenate([each.own for each in parts]),
        np.concatenate([each.rank_one for each in parts]),
        _apart([each.person for each in parts]),
        _apart([each.passage for each in parts]),
    )


def _apart(numbers: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Number on what each part numbers from 0: two seeds have no person and no pass in common."""
    starts = np.cumsum([0, *(int(each.max(initial=-1)) + 1 for each in numbers)])[:-1]
    return np.concatenate([each + start for each, start in zip(numbers, starts, strict=True)])


def show(pooled: Sequence[Pooled], console: Console) -> None:
    """Print a table for each difficulty and size: the rates of all, and each seed's."""
    for each in pooled:
        table = Table("target", "threshold (95 %)", "", "FPIR (95 %)", "TPIR, rank 1 (95 %)")
        table.title = f"{each.difficulty}, galleries of {each.gallery:,}, chosen with {each.choice_gallery:,}"
        for point in each.points:
            table.add_row(*_chosen(point), "all", point.fpir.said, point.tpir.said)
            for seed in point.seeds:
                table.add_row("", "", f"seed {seed.seed}", seed.fpir.said, seed.tpir.said)
        console.print(table)
        for chosen in (point.chosen for point in each.points):
            if chosen is not None and not chosen.supported:
                console.print(
                    f"* {chosen.people:,} people to choose on do not support FPIR {chosen.target:g}: {chosen.needed:,} "
                    "would; the threshold given has no upper end"
                )


def _chosen(point: Point) -> tuple[str, str]:
    """Return the target and the threshold, with its interval, as they are said."""
    if point.chosen is None:
        return "shipped", f"{point.threshold:.4f}"
    star = "" if point.chosen.supported else " *"
    return f"{point.chosen.target:g}{star}", f"{point.threshold:.4f} ({point.chosen.interval})"


def main(
    folders: Annotated[list[Path], typer.Argument(metavar="OUT…", help="Folders of evaluations, a seed each.")],
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", callback=writable, help="Write the figures to this file, too.")
    ] = None,
) -> None:
    """Bring evaluations of several seeds together, and show how far each is from all."""
    try:
        found = pool([read(folder) for folder in folders])
    except LamppostError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(error.exit_code) from error
    show(found, Console())
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")


if __name__ == "__main__":
    typer.run(main)
