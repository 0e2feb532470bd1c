"""Whether a cheaper arithmetic decides as fp32 does: ``python -m loadtest.decisions`` (no Kafka, no Ray).

Single pictures of people, half of them listed, go through the shipped detector in fp32; the same crops are embedded in
each precision and searched on the same watchlist, which is enrolled in fp32. A search is one face against one entry. It
prints how far scores moved and which decisions at the shipped threshold changed, and how far from it those scores lay.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from loadtest.command import conclude
from pipeline.catalog.difficulties import DIFFICULTIES, Difficulty
from pipeline.runtime.evaluation_workers import Workers
from pipeline.runtime.galleries import gallery
from pipeline.synthetic.seeds import Population, group
from pipeline.vision.embedder import TorchEmbedder
from pipeline.vision.eyes import load_detector, load_embedder
from pipeline.vision.forward import Precision
from pipeline.vision.precision import PRECISIONS
from pipeline.vision.probing import probe_faces
from pipeline.vision.weights import load_manifest

MARGIN: Final = 0.05
"""Scores this near to the threshold may be decided otherwise; docs/models.md states it."""
PICTURES: Final = 6
PORTION: Final = 40


class Figure(msgspec.Struct, frozen=True):
    """What one precision did to the scores and decisions of fp32."""

    precision: str
    searches: int
    matches: int
    """Decisions of fp32 that were matches."""
    changed: int
    farthest: float
    """Of the scores whose decision changed, the greatest distance from the threshold; 0 if none did."""
    greatest_shift: float
    deviation: float
    """Standard deviation of the shifts."""

    @property
    def reached(self) -> bool:
        """Whether no decision changed outside the margin."""
        return self.farthest < MARGIN


class Several:
    """Embedders side by side: templates float32[N, d] of each, one after the other in a row."""

    def __init__(self, embedders: Sequence[TorchEmbedder]) -> None:
        self._embedders = embedders
        self.version = embedders[0].version
        self.dimension = sum(each.dimension for each in embedders)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See the port."""
        return np.concatenate([each.embed(crops) for each in self._embedders], axis=1)


def compared(precision: str, exact: NDArray[np.float32], quick: NDArray[np.float32], threshold: float) -> Figure:
    """Hold the scores of a precision against those of fp32, float32[F, N] both."""
    changed = (exact >= threshold) != (quick >= threshold)
    shifts = quick - exact
    return Figure(
        precision=precision,
        searches=exact.size,
        matches=int((exact >= threshold).sum()),
        changed=int(changed.sum()),
        farthest=float(np.abs(exact[changed] - threshold).max(initial=0.0)),
        greatest_shift=float(np.abs(shifts).max()),
        deviation=float(shifts.std()),
    )


def line(figure: Figure) -> str:
    """One figure in words."""
    said = (
        f"{figure.precision}: {figure.searches:,} searches, {figure.matches} of them matches in fp32; "
        f"{figure.changed} decided otherwise"
    )
    if figure.changed:
        said += f", of scores within {figure.farthest:.4f} of the threshold"
    said += f"; no score moved by more than {figure.greatest_shift:.3f} (standard deviation {figure.deviation:.4f})"
    return said + ("" if figure.reached else f"; missed: none outside {MARGIN} of it")


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.decisions", description=__doc__.splitlines()[0])
    parser.add_argument("--gallery", type=int, default=1000, help="people on the watchlist (1000)")
    parser.add_argument(
        "--people", type=int, default=200, help="searched at each difficulty, half of them listed (200)"
    )
    parser.add_argument("--difficulty", action="append", choices=list(DIFFICULTIES), help="of pictures (all)")
    parser.add_argument("--precision", action="append", choices=[each for each in PRECISIONS if each != "fp32"])
    parser.add_argument("--seed", type=int, default=0, help="of people and pictures (0)")
    parser.add_argument("--weights", type=Path, help="folder that training wrote; the shipped networks if not given")
    parser.add_argument("--json", type=Path, help="write the figures there")
    chosen = parser.parse_args(arguments)
    if not 2 <= chosen.people <= 2 * chosen.gallery:
        parser.error(f"--people is {chosen.people}: use 2 to {2 * chosen.gallery}, twice the gallery")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; returns 0 if no decision changed outside the margin, 1 if one did, the error's code if it failed."""
    chosen = options(arguments)
    run = {"gallery": chosen.gallery, "people": chosen.people, "seed": chosen.seed}
    return conclude(lambda: _measure(chosen), line, run, chosen.json)


def _measure(chosen: argparse.Namespace) -> list[Figure]:
    quick: list[Precision] = chosen.precision or ["bf16", "int8"]
    exact = load_embedder("cpu", "fp32", chosen.weights)
    embedders = [exact, *(load_embedder("cpu", each, chosen.weights) for each in quick)]
    listed = group(Population.WATCHLIST, chosen.seed, chosen.gallery)
    with Workers(1) as workers:
        entries = gallery(
            Population.WATCHLIST, chosen.seed, chosen.gallery, PICTURES,
            workers=workers, progress=partial(_tell, "enrolled"), weights=chosen.weights,
        )  # fmt: skip
    half = chosen.people // 2
    people = [(person, 0) for person in (*listed[:half], *group(Population.PASSERS_BY, chosen.seed, half))]
    templates = np.concatenate(
        [_templates(people, DIFFICULTIES[name], embedders, chosen) for name in chosen.difficulty or DIFFICULTIES]
    )
    scores = [each @ entries.T for each in np.split(templates, len(embedders), axis=1)]
    threshold = load_manifest(chosen.weights).operating_point.threshold
    return [compared(name, scores[0], each, threshold) for name, each in zip(quick, scores[1:], strict=True)]


def _templates(
    people: Sequence[tuple[int, int]],
    place: Difficulty,
    embedders: Sequence[TorchEmbedder],
    chosen: argparse.Namespace,
) -> NDArray[np.float32]:
    detector = load_detector("cpu", "fp32", chosen.weights)
    parts = []
    for first in range(0, len(people), PORTION):
        parts.append(
            probe_faces(people[first : first + PORTION], place, chosen.seed, detector, Several(embedders)).templates
        )
        _tell(place.name, min(first + PORTION, len(people)), len(people))
    return np.concatenate(parts)


def _tell(stage: str, done: int, total: int) -> None:
    print(f"{stage}: {done} of {total} people", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
