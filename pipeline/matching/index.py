"""The index of one shard: exact inner product over rows it owns, immutable snapshots, and removal that destroys.

Every change has a *moment*, a number that grows with each `publish`. A row knows the moments of its birth and its end,
so a snapshot is nothing but a number, a change costs one row, and nothing is ever copied.
"""

import heapq
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pipeline.matching.block import Block
from pipeline.matching.ranking import Found, candidates
from pipeline.records import Candidate, Probes, WatchlistEntry

GRACE_NS: Final = 180 * 10**9
"""An entry is destroyed this long after its expiry: by then no frame captured before it is left (the longest life)."""
BLOCK_ROWS: Final = 65_536
"""32 MiB of templates at d = 128; pages that hold no row yet take no memory."""
DUE_SLACK: Final = 1_024
"""Expiries of entries that are gone, beyond as many as there are entries, before they are dropped."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The index as it was at a moment; good for as long as it is held."""

    moment: int
    version: int
    """Watchlist version: the offset of the last record that it holds."""
    entries: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry lies."""

    block: Block
    row: int


class InnerProductIndex:
    """Entries by id with their templates float32[`dimension`]; one thread changes it, any number search it."""

    def __init__(self, dimension: int, *, threads: int = 1, block_rows: int = BLOCK_ROWS) -> None:
        """`threads`: compute threads of each search."""
        self._dimension = dimension
        self._threads = threads
        self._block_rows = block_rows
        self._blocks: list[Block] = []
        self._places: dict[str, Place] = {}
        self._due: list[tuple[int, int, str, Place]] = []
        self._serial = 0
        self._dead: deque[tuple[int, Place]] = deque()
        self._held: Counter[int] = Counter()
        self._published = threading.Condition()
        self._snapshot = Snapshot(moment=0, version=0, entries=0)

    @property
    def latest(self) -> Snapshot:
        """What a search that begins now would see; not held."""
        return self._snapshot

    @property
    def settled(self) -> bool:
        """Whether nothing of a removed template is left: its row is overwritten."""
        return not self._dead

    def put(self, entry: WatchlistEntry) -> None:
        """Add an entry, or replace the one of the same id, from the next `publish` on; its template is copied."""
        self.remove(entry.entry)
        block = self._block_with_room()
        place = Place(block, block.write(entry, self._snapshot.moment + 1))
        self._places[entry.entry] = place
        if entry.expires_ns is not None:
            self._serial += 1  # tells apart entries that are due at once
            heapq.heappush(self._due, (entry.expires_ns + GRACE_NS, self._serial, entry.entry, place))

    def remove(self, entry: str) -> bool:
        """Hide an entry from the next `publish` on; returns whether it was there."""
        place = self._places.pop(entry, None)
        if place is None:
            return False
        moment = self._snapshot.moment + 1
        place.block.end(place.row, moment)
        self._dead.append((moment, place))
        self._drop_stale_expiries()
        return True

    def publish(self, version: int) -> None:
        """Make all changes so far visible at once, as the state at this watchlist version."""
        with self._published:
            self._snapshot = Snapshot(self._snapshot.moment + 1, version, len(self._places))
            self._published.notify_all()

    def sweep(self, now_ns: int) -> int:
        """Remove entries that expired 180 s ago, and overwrite removed rows that no search can see any more.

        Call it often; returns the number of entries that were removed.
        """
        removed = 0
        while self._due and self._due[0][0] <= now_ns:
            _, _, entry, place = heapq.heappop(self._due)
            # the entry may have been replaced or removed since, and its row taken by another
            if self._places.get(entry) is place:
                removed += self.remove(entry)
        if removed:
            self.publish(self._snapshot.version)
        self._overwrite_dead()
        return removed

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Hold the latest snapshot: until the block ends no row that it shows is overwritten."""
        with self._published:
            held = self._snapshot
            self._held[held.moment] += 1
        try:
            yield held
        finally:
            with self._published:
                self._held[held.moment] -= 1
                if not self._held[held.moment]:
                    del self._held[held.moment]

    def wait_for(self, version: int, seconds: float) -> bool:
        """Wait until the latest snapshot is of at least `version`; returns whether it came within `seconds`."""
        with self._published:
            return self._published.wait_for(lambda: self._snapshot.version >= version, seconds)

    def search(self, held: Snapshot, probes: Probes, k: int) -> list[list[Candidate]]:
        """For each probe the `k` best entries of a held snapshot that had not expired when it was captured.

        Exact: by falling score, equal scores by entry id. The order is decided on float64 inner products rounded to
        float32, which do not depend on block, batch or shard; float32 products only select.
        """
        blocks = self._blocks
        if not blocks:
            return [[] for _ in probes.templates]
        hits = [block.search(probes, k, held.moment, self._threads) for block in blocks]
        found = Found.together([Found.of(each, owner) for owner, each in enumerate(hits)])
        return candidates(blocks, found, k, held.version)

    def _drop_stale_expiries(self) -> None:
        """Each replacement leaves the expiry of what it replaced behind, which may be years away."""
        if len(self._due) > 2 * len(self._places) + DUE_SLACK:
            self._due = [due for due in self._due if self._places.get(due[2]) is due[3]]
            heapq.heapify(self._due)

    def _oldest(self) -> int:
        """The earliest moment that a search holds; one that begins now holds the latest, which is not before it."""
        with self._published:
            return min(self._held, default=self._snapshot.moment)

    def _overwrite_dead(self) -> None:
        oldest = self._oldest()
        while self._dead and self._dead[0][0] <= oldest:
            _, place = self._dead.popleft()
            place.block.overwrite(place.row)

    def _block_with_room(self) -> Block:
        for block in self._blocks:
            if not block.full:
                return block
        block = Block(self._block_rows, self._dimension)
        # searches go through the list as it was when they began
        self._blocks = [*self._blocks, block]
        return block
