"""Searches: what a gallery answered to probes whose truth is known."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class NonMated:
    """Searches of people who are not in the gallery, arrays of one length M.

    `best` is float32[M], the greatest score, -inf if no face was found; `person` and `passage` are int64[M].
    """

    best: NDArray[np.float32]
    person: NDArray[np.int64]
    passage: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together; raises ValueError."""
        _same_length(self.best, self.person, self.passage)

    def __len__(self) -> int:
        """How many searches."""
        return len(self.best)

    @property
    def acquired(self) -> NDArray[np.bool_]:
        """Whether a face was found, bool[M]."""
        return np.isfinite(self.best)

    def per_pass(self) -> Self:
        """Return one search a pass, with the best score of its frames."""
        order = np.lexsort((-self.best, self.passage))
        keep = order[_firsts(self.passage[order])]
        return type(self)(self.best[keep], self.person[keep], self.passage[keep])


@dataclass(frozen=True, slots=True)
class Mated:
    """Searches of people who are in the gallery, arrays of one length M.

    `own` is float32[M], the score of the person's own entry, -inf if no face was found; `rank_one` is bool[M], whether
    no other entry scored more; `person` and `passage` are int64[M].
    """

    own: NDArray[np.float32]
    rank_one: NDArray[np.bool_]
    person: NDArray[np.int64]
    passage: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together; raises ValueError."""
        _same_length(self.own, self.rank_one, self.person, self.passage)

    def __len__(self) -> int:
        """How many searches."""
        return len(self.own)

    @property
    def acquired(self) -> NDArray[np.bool_]:
        """Whether a face was found, bool[M]."""
        return np.isfinite(self.own)

    @property
    def counted(self) -> NDArray[np.float32]:
        """The own score where it came first, -inf elsewhere, float32[M]: what TPIR at rank 1 compares to T."""
        return np.where(self.rank_one, self.own, np.float32(-np.inf)).astype(np.float32)

    def per_pass(self) -> Self:
        """Return one search a pass: the best of the frames in which the own entry came first, or the best of all.

        So a pass reaches T if and only if some frame of it has its own entry at rank 1 and at T or more.
        """
        order = np.lexsort((-self.own, ~(self.rank_one & self.acquired), self.passage))
        keep = order[_firsts(self.passage[order])]
        return type(self)(self.own[keep], self.rank_one[keep], self.person[keep], self.passage[keep])


def _firsts(ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where a new value begins in sorted values, bool[M]."""
    first = np.ones(len(ordered), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return first


def _same_length(*arrays: NDArray[np.generic]) -> None:
    if len({len(each) for each in arrays}) != 1:
        raise ValueError(f"the columns of searches have {[len(each) for each in arrays]} rows")
