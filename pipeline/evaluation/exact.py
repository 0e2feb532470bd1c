"""Exact search of a gallery of any size: matrix products in blocks, so that a million entries fit in memory."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

PROBE_BLOCK: Final = 256
ENTRY_BLOCK: Final = 65_536
"""A block of scores takes 64 MiB."""


class Answers(NamedTuple):
    """Per probe: the greatest score float32[M], its row int64[M], and the score of a chosen row, float32[M]."""

    best: NDArray[np.float32]
    row: NDArray[np.int64]
    own: NDArray[np.float32]


def search(
    probes: NDArray[np.float32],
    gallery: NDArray[np.float32],
    own: NDArray[np.int64] | None = None,
    *,
    probe_block: int = PROBE_BLOCK,
    entry_block: int = ENTRY_BLOCK,
    progress: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005  # nobody is told by default
) -> Answers:
    """Return the best cosine and row of probes float32[M, d] in a gallery float32[N, d], both L2-normalised.

    `own` is int64[M], a row of which the score is wanted, too (-1: none, its score is -inf). Equal scores go to the
    lower row. Raises ValueError for an empty gallery or a row outside it.
    """
    count, size = len(probes), len(gallery)
    wanted = np.full(count, -1, np.int64) if own is None else own
    if not size or (count and int(wanted.max()) >= size):
        raise ValueError(f"a gallery of {size} has no row {int(wanted.max()) if count else 0}")
    answers = Answers(
        np.full(count, -np.inf, np.float32), np.full(count, -1, np.int64), np.full(count, -np.inf, np.float32)
    )
    for first in range(0, count, probe_block):
        rows = slice(first, min(first + probe_block, count))
        for start in range(0, size, entry_block):
            scores = probes[rows] @ gallery[start : start + entry_block].T
            _take(answers, rows, scores, start, wanted[rows])
        progress(rows.stop, count)
    return answers


def _take(answers: Answers, rows: slice, scores: NDArray[np.float32], start: int, wanted: NDArray[np.int64]) -> None:
    """Take the scores of one block, float32[P, E], whose entries begin at row `start`, into the answers."""
    here = np.arange(len(scores))
    column = scores.argmax(axis=1)
    best = scores[here, column]
    better = best > answers.best[rows]
    answers.best[rows] = np.where(better, best, answers.best[rows])
    answers.row[rows] = np.where(better, column + start, answers.row[rows])
    inside = (wanted >= start) & (wanted < start + scores.shape[1])
    answers.own[rows][inside] = scores[here[inside], wanted[inside] - start]
