"""A block of templates in memory that the index owns: rows with a life, searched for the moment of a snapshot."""

import heapq
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.engine import TILES_FROM_PROBES, nearest
from pipeline.matching.microkernel import LANES, ROWS
from pipeline.matching.scores import inner_products, kth_best
from pipeline.matching.topk import all_products
from pipeline.records import Probes, WatchlistEntry

NEVER: Final = int(np.iinfo(np.int64).max)
"""A moment, or an instant in nanoseconds, that does not come."""

MARGIN: Final = 8
"""Rows fetched beyond k, for those that are hidden from a probe (removed, free, expired) and for near ties."""
SCAN_PROBES: Final = LANES
"""Probes scanned at once when the margin did not do; bounds the scan's scratch memory."""


class Hits(NamedTuple):
    """Rows of a block for each probe, in no order: the `k` best that it may see are among them."""

    scores: NDArray[np.float32]
    """float32[N,m]: inner product in float64, rounded; -inf where there is no row, or none that the probe may see.

    The same wherever and in whatever batch the pair is computed.
    """
    rows: NDArray[np.int64]
    """int64[N,m]; meaningless where the score is -inf."""


class Block:
    """Rows float32[`rows`,d]; one thread writes while others search.

    A row is written before it is born and overwritten only after it died and no search holds an older moment. So what
    a search may see never changes under it; what it may not see may change while a search reads it, and is dropped.
    """

    def __init__(self, rows: int, dimension: int) -> None:
        self._pinned = False
        self.live = 0
        """Rows that are written and not overwritten."""
        self.templates: NDArray[np.float32] = np.zeros((rows, dimension), np.float32)
        self._born: NDArray[np.int64] = np.full(rows, NEVER)
        self._died: NDArray[np.int64] = np.full(rows, NEVER)
        self._expires_ns: NDArray[np.int64] = np.full(rows, NEVER)
        # arrays, since a hundred thousand strings are in no cache, and numpy fetches many of them at a time
        self.entries: NDArray[np.object_] = np.full(rows, "", object)
        self.references: NDArray[np.object_] = np.full(rows, "", object)
        self._free: list[int] = []
        self._top = 0

    @property
    def full(self) -> bool:
        """Whether no row is free."""
        return not self._free and self._top == len(self.templates)

    @property
    def top(self) -> int:
        """Rows from here on were never written."""
        return self._top

    def pin(self) -> None:
        """Write no new entry into an overwritten row any more: a row keeps its number's meaning for ever."""
        self._pinned = True
        self._free.clear()

    def alive(self) -> NDArray[np.int64]:
        """The rows that no `end` was said of, rising; for the thread that writes."""
        there = (self._born[: self._top] != NEVER) & (self._died[: self._top] == NEVER)
        return np.flatnonzero(there)

    def entry_at(self, row: int) -> WatchlistEntry:
        """What a row holds, with the template where it lies; for the thread that writes."""
        expires_ns = int(self._expires_ns[row])
        return WatchlistEntry(
            self.entries[row],
            self.templates[row],
            self.references[row],
            expires_ns=None if expires_ns == NEVER else expires_ns,
        )

    def write(self, entry: WatchlistEntry, moment: int) -> int:
        """Put an entry into a free row, to be seen from `moment` on; returns the row."""
        if self._free:
            row = heapq.heappop(self._free)
        else:
            row, self._top = self._top, self._top + 1
        self.templates[row] = entry.template
        self.entries[row] = entry.entry
        self.references[row] = entry.reference
        expires_ns = NEVER if entry.expires_ns is None else entry.expires_ns
        self._expires_ns[row] = min(max(expires_ns, -NEVER), NEVER)
        self._died[row] = NEVER
        self._born[row] = moment
        self.live += 1
        return row

    def end(self, row: int, moment: int) -> None:
        """Hide a row from `moment` on."""
        self._died[row] = moment

    def overwrite(self, row: int) -> None:
        """Destroy what a dead row held and free it; no search may hold a moment before its end."""
        self._born[row] = NEVER
        self.templates[row] = 0.0
        self.entries[row] = self.references[row] = ""
        self._expires_ns[row] = NEVER
        self.live -= 1
        if not self._pinned:
            heapq.heappush(self._free, row)

    def search(self, probes: Probes, k: int, moment: int, threads: int, begin: int = 0) -> Hits:
        """For each probe the `k` best rows it may see at `moment`; of equal scores those that are first by entry id.

        Rows before `begin` are left out.
        """
        used = self._top - begin
        fetched = min(k + MARGIN, used)
        if fetched <= 0:
            nothing = (len(probes.templates), 0)
            return Hits(np.empty(nothing, np.float32), np.empty(nothing, np.int64))
        products, rows = nearest(probes.templates, self.templates[begin : begin + used], fetched, threads)
        if begin:
            rows[rows >= 0] += begin
        seen = self.seen(rows, probes.capture_ns, moment)
        kth = kth_best(np.where(seen, products, -np.inf), k)
        near = seen & (products >= kth[:, None] - self._tolerance)
        hits = Hits(inner_products(probes.templates, self.templates, np.where(near, rows, -1)), rows)
        if fetched < used:
            # a row that was not fetched has at most the lowest product fetched; a probe that is not finite has none
            undecided = np.flatnonzero(~(kth - self._tolerance > products[:, -1]) & (rows[:, 0] >= 0))
            for first in range(0, len(undecided), SCAN_PROBES):
                self._scan(probes, undecided[first : first + SCAN_PROBES], k, moment, hits, begin=begin)
        return hits

    @property
    def _tolerance(self) -> np.float32:
        # a row whose float32 product is below the k-th best by more than this scores less than k others: bound of the
        # rounding error of two float32 inner products of unit vectors (Higham, Accuracy and Stability of Numerical
        # Algorithms, 2nd ed., section 3.1): 2 × d × 2^-24, with room for lengths that are not quite 1
        return np.float32(2.2 * int(self.templates.shape[1]) * 2.0**-24)

    def _scan(self, probes: Probes, places: NDArray[np.int64], k: int, moment: int, hits: Hits, *, begin: int) -> None:
        """Put the best rows of the probes at `places` into `hits`, by looking at every row.

        For probes whose best rows are many equals or hidden ones.
        """
        templates, rows = probes.templates[places], np.arange(begin, self._top)[None]
        products = all_products(templates, self.templates[begin : begin + rows.size])
        for number, place in enumerate(places):
            seen = np.flatnonzero(self.seen(rows, probes.capture_ns[place, None], moment)[0])
            product = products[number, seen]
            seen = begin + seen[product >= kth_best(product[None], k) - self._tolerance]
            scores = inner_products(templates[number, None], self.templates, seen[None])[0]
            best = sorted(range(len(seen)), key=lambda hit: (-scores[hit], self.entries[seen[hit]]))[:k]
            hits.scores[place] = -np.inf
            hits.scores[place, : len(best)] = scores[best]
            hits.rows[place, : len(best)] = seen[best]

    def seen(self, rows: NDArray[np.int64], capture_ns: NDArray[np.int64], moment: int) -> NDArray[np.bool_]:
        """Which of rows int64[N,m] the probes captured at int64[N] may see at `moment`."""
        alive = (self._born[rows] <= moment) & (moment < self._died[rows]) & (rows >= 0)
        visible: NDArray[np.bool_] = alive & (capture_ns[:, None] < self._expires_ns[rows])
        return visible


def compile_search() -> None:
    """Compile what a search runs: seconds where no cache holds it yet, for which a first search would have no time."""
    block = Block(ROWS, 1)
    for _ in range(ROWS):
        block.write(WatchlistEntry("", np.zeros(1, np.float32)), moment=0)
    probes = Probes(np.zeros((TILES_FROM_PROBES, 1), np.float32), np.zeros(TILES_FROM_PROBES, np.int64))
    block.search(probes, k=1, moment=0, threads=1)
    all_products(probes.templates, block.templates)
