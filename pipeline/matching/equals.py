"""Equal templates, of which a graph takes in one: as neighbours of each other they would use up each other's links."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled import compiled
from pipeline.matching.selection import CHUNK_ROWS, Templates

FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
SHIFT: Final = np.uint64(32)


@compiled(nogil=True)
def digests(rows: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """A number uint64[N] of each of rows uint32[N,d]: of equal ones the same, of two others the same once in 2^64."""
    found = np.empty(len(rows), np.uint64)
    for row in range(len(rows)):
        digest = np.uint64(0)
        for word in rows[row]:
            digest = (digest ^ np.uint64(word)) * FACTOR
            digest ^= digest >> SHIFT
        found[row] = digest
    return found


class Distinct:
    """Templates, of which the first of those that are equal are numbered anew, from 0 in their order."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._digests: list[NDArray[np.uint64]] = []

    def chunks(self) -> Iterator[NDArray[np.float32]]:
        """These, as `Templates.chunks` hands all of them out."""
        known = np.empty(0, np.uint64)  # rising
        scratch = np.empty((min(CHUNK_ROWS, len(self._templates)), self._templates.dimension), np.float32)
        try:
            for chunk in self._templates.chunks():
                # of what is handed out: a row that is removed may not be read the same a second time
                some = digests(chunk.view(np.uint32))
                self._digests.append(some)
                values, firsts = np.unique(some, return_index=True)
                places = np.searchsorted(known, values)
                new = places == np.searchsorted(known, values, side="right")
                known = np.insert(known, places[new], values[new])
                firsts = np.sort(firsts[new])
                if len(firsts):
                    yield np.take(chunk, firsts, axis=0, out=scratch[: len(firsts)], mode="clip")
        finally:
            scratch.fill(0.0)

    def groups(self) -> "Groups":
        """Which templates these stand for; once all chunks were handed out."""
        return Groups(np.concatenate(self._digests))


class Groups:
    """The numbers of the templates that are equal to each one that is distinct."""

    def __init__(self, all_digests: NDArray[np.uint64]) -> None:
        _, firsts, groups = np.unique(all_digests, return_index=True, return_inverse=True)
        numbers = np.argsort(np.argsort(firsts))[groups]
        self._sizes = np.bincount(numbers)
        self._begins = np.cumsum(self._sizes) - self._sizes
        self._members = np.argsort(numbers, kind="stable")

    def members(self, proposed: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """The templates int64[N,`count`] that distinct ones int64[N,m] stand for, the first ones first; -1 for none."""
        if len(self._sizes) == len(self._members):
            return proposed
        sizes = np.where(proposed >= 0, self._sizes[proposed], 0)
        ends = np.cumsum(sizes, axis=1)
        wanted = np.arange(count)
        there = wanted < ends[:, -1:]
        places = np.minimum((ends[:, :, None] <= wanted).sum(axis=1), proposed.shape[1] - 1)
        first = self._begins[np.take_along_axis(proposed, places, axis=1)]
        within = wanted - np.take_along_axis(ends - sizes, places, axis=1)
        return np.where(there, self._members[np.where(there, first + within, 0)], -1)
