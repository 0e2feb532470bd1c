"""A block of templates in memory that the index owns: rows with a life, searched for the moment of a snapshot."""

import heapq
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.engine import nearest
from pipeline.records import Probes, WatchlistEntry

NEVER: Final = int(np.iinfo(np.int64).max)
"""A moment, or an instant in nanoseconds, that does not come."""

MARGIN: Final = 8
"""Rows fetched beyond k, for those that are hidden from a probe (removed, free, expired) and for near ties."""
SCAN_PROBES: Final = 16
"""Probes scanned at once when the margin did not do; bounds the scan's scratch memory."""


class Found(NamedTuple):
    """A row that a probe may see."""

    score: float
    """Inner product in float64, rounded to float32: the same wherever and in whatever batch the pair is computed."""
    entry: str
    reference: str


class Block:
    """Rows float32[`rows`,d]; one thread writes while others search.

    A row is written before it is born and overwritten only after it died and no search holds an older moment. So what
    a search may see never changes under it; what it may not see may change while FAISS reads it, and is dropped.
    """

    def __init__(self, rows: int, dimension: int) -> None:
        self.templates: NDArray[np.float32] = np.zeros((rows, dimension), np.float32)
        self._born: NDArray[np.int64] = np.full(rows, NEVER)
        self._died: NDArray[np.int64] = np.full(rows, NEVER)
        self._expires_ns: NDArray[np.int64] = np.full(rows, NEVER)
        self._entries = [""] * rows
        self._references = [""] * rows
        self._free: list[int] = []
        self._top = 0

    @property
    def full(self) -> bool:
        """Whether no row is free."""
        return not self._free and self._top == len(self.templates)

    def write(self, entry: WatchlistEntry, moment: int) -> int:
        """Put an entry into a free row, to be seen from `moment` on; returns the row."""
        if self._free:
            row = heapq.heappop(self._free)
        else:
            row, self._top = self._top, self._top + 1
        self.templates[row] = entry.template
        self._entries[row] = entry.entry
        self._references[row] = entry.reference
        expires_ns = NEVER if entry.expires_ns is None else entry.expires_ns
        self._expires_ns[row] = min(max(expires_ns, -NEVER), NEVER)
        self._died[row] = NEVER
        self._born[row] = moment
        return row

    def end(self, row: int, moment: int) -> None:
        """Hide a row from `moment` on."""
        self._died[row] = moment

    def overwrite(self, row: int) -> None:
        """Destroy what a dead row held and free it; no search may hold a moment before its end."""
        self._born[row] = NEVER
        self.templates[row] = 0.0
        self._entries[row] = self._references[row] = ""
        self._expires_ns[row] = NEVER
        heapq.heappush(self._free, row)

    def search(self, probes: Probes, k: int, moment: int, threads: int) -> list[list[Found]]:
        """For each probe the `k` best rows it may see at `moment`, by falling score, equal scores by entry id."""
        used = self._top
        fetched = min(k + MARGIN, used)
        if fetched == 0:
            return [[] for _ in probes.templates]
        products, rows = nearest(probes.templates, self.templates[:used], fetched, threads)
        scores = np.where(self._seen(rows, probes.capture_ns, moment), self._scores(probes.templates, rows), -np.inf)
        found = [self._best(*of_probe, k) for of_probe in zip(scores, rows, strict=True)]
        if fetched < used:
            # a row that was not fetched has at most the lowest product fetched
            kth = np.partition(scores, -k, axis=1)[:, -k]
            undecided = np.flatnonzero(~(kth > products[:, -1] + self._tolerance))
            for first in range(0, len(undecided), SCAN_PROBES):
                some = undecided[first : first + SCAN_PROBES]
                scanned = self._scan(Probes(probes.templates[some], probes.capture_ns[some]), k, moment, used)
                for probe, best in zip(some, scanned, strict=True):
                    found[probe] = best
        return found

    @property
    def _tolerance(self) -> float:
        # bound of the rounding error of two float32 inner products of unit vectors (Higham, Accuracy and Stability of
        # Numerical Algorithms, 2nd ed., section 3.1): 2 × d × 2^-24, with room for lengths that are not quite 1
        return 2.2 * int(self.templates.shape[1]) * 2.0**-24

    def _scan(self, probes: Probes, k: int, moment: int, used: int) -> list[list[Found]]:
        """The same as `search`, by looking at every row; for probes whose best rows are many equals or hidden ones."""
        rows = np.arange(used)
        products = probes.templates @ self.templates[:used].T
        found = []
        for template, captured, product in zip(probes.templates, probes.capture_ns, products, strict=True):
            seen = np.flatnonzero(self._seen(rows[None], captured[None], moment)[0] & ~np.isnan(product))
            if len(seen) > k:
                kth = np.partition(product[seen], -k)[-k]
                seen = seen[product[seen] >= kth - self._tolerance]
            found.append(self._best(self._scores(template[None], seen[None])[0], seen, k))
        return found

    def _seen(self, rows: NDArray[np.int64], capture_ns: NDArray[np.int64], moment: int) -> NDArray[np.bool_]:
        """Which of rows int64[N,m] the probes captured at int64[N] may see at `moment`."""
        alive = (self._born[rows] <= moment) & (moment < self._died[rows]) & (rows >= 0)
        visible: NDArray[np.bool_] = alive & (capture_ns[:, None] < self._expires_ns[rows])
        return visible

    def _scores(self, templates: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores float64[N,m] of templates float32[N,d] and rows int64[N,m].

        Products are added along the last axis, in an order that depends on d alone, so that equal templates get
        equal scores in every block, batch and process.
        """
        pairs = self.templates[rows].astype(np.float64)
        pairs *= templates[:, None, :]
        scores: NDArray[np.float64] = pairs.sum(axis=-1).astype(np.float32).astype(np.float64)
        return scores

    def _best(self, scores: NDArray[np.float64], rows: NDArray[np.int64], k: int) -> list[Found]:
        known = [
            Found(score, self._entries[row], self._references[row])
            for score, row in zip(scores.tolist(), rows.tolist(), strict=True)
            if score > -np.inf
        ]
        return sorted(known, key=by_score)[:k]


def by_score(found: Found) -> tuple[float, str]:
    """Sort key: by falling score, equal scores by entry id."""
    return -found.score, found.entry
