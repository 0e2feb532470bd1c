"""Templates like those of a watchlist, and probes of them, from a seed; nobody's face is behind them.

Directions drawn evenly would be the worst case of every index that skips rows: in 128 dimensions all are nearly at
right angles, and nothing tells where to look. Templates of an embedder are not like that. Some directions vary more
than others, and people who look alike lie together. Here the variance of the i-th direction falls as i^-0.5, which
leaves about 85 directions that count, all turned at random, and people come in groups that they have half of their
variance in common with.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

DIMENSION: Final = 128
GROUPS: Final = 2_000
DECAY: Final = 0.5
LIKENESS: Final = 0.75
"""Cosine of a probe and its own template, on average: a picture of that person, and not a good one."""
CHUNK: Final = 100_000


class Population:
    """People by their templates; the same seed gives the same people."""

    def __init__(self, seed: int) -> None:
        self._draw = np.random.default_rng(seed)
        turned = np.linalg.qr(self._draw.standard_normal((DIMENSION, DIMENSION)))[0]
        deviations = np.arange(1, DIMENSION + 1) ** (-DECAY / 2)
        self._shape: NDArray[np.float32] = (deviations[:, None] * turned).astype(np.float32)
        self._groups = self._directions(GROUPS)

    def templates(self, count: int) -> NDArray[np.float32]:
        """Unit templates float32[count,128] of further people."""
        made = np.empty((count, DIMENSION), np.float32)
        for first in range(0, count, CHUNK):
            some = made[first : first + CHUNK]
            groups = self._draw.integers(0, GROUPS, len(some))
            some[:] = _units(self._groups[groups] + self._directions(len(some)))
        return made

    def probes(self, templates: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Unit probes float32[count,128] of people drawn from `templates`: mated searches."""
        own = templates[self._draw.integers(0, len(templates), count)]
        other = _units(self._directions(count))
        return _units(LIKENESS * own + np.sqrt(1 - LIKENESS**2).astype(np.float32) * other)

    def _directions(self, count: int) -> NDArray[np.float32]:
        return self._draw.standard_normal((count, DIMENSION), dtype=np.float32) @ self._shape


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
