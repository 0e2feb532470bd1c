"""The index of one shard for every kind but `flat`: the same rows, most of them found through a selector.

Entries lie in rows that the index owns, as in `InnerProductIndex`, and what is said there of snapshots, moments, expiry
and removal holds here. A selector is built over all rows from time to time, in a thread of its own; rows written since
are searched exactly beside it. A removed row is hidden and overwritten at once, but the selector keeps its copy until
the next one takes its place.
"""

import logging
import os
import threading
import traceback
from collections import deque
from dataclasses import dataclass
from typing import Final

from pipeline.matching.block import Block
from pipeline.matching.cover import Cover
from pipeline.matching.index import BLOCK_ROWS, InnerProductIndex, Place, Snapshot
from pipeline.matching.ranking import Found, candidates
from pipeline.matching.selection import Kind, Part, Templates
from pipeline.records import Candidate, Probes

BESIDE_SHARE: Final = 16
"""Rows are taken into a new selector when those beside it are more than its own ÷ this.

At 250,000 entries 15,625: half a millisecond of exact search for one probe.
"""
QUIET_NS: Final = 10**9
"""A watchlist that did not change for as long has probably been loaded, and one build takes in all of it."""
NICENESS: Final = 10
"""Of the threads that build, so that searches go first where both want a core."""
NO_ROOM: Final = (MemoryError, RuntimeError)
"""What a build raises that memory, the machine's or a GPU's, does not suffice for; RuntimeError is FAISS's."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Covered(Snapshot):
    cover: Cover | None = None


class ApproximateIndex(InnerProductIndex):
    """Entries by id, as `InnerProductIndex`, found through selectors of one kind."""

    def __init__(
        self,
        dimension: int,
        kind: Kind,
        *,
        threads: int = 1,
        build_threads: int | None = None,
        rebuild_seconds: float = 30.0,
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        """`threads`: compute threads of each search, and of a build unless `build_threads` says otherwise.

        `rebuild_seconds`: how long after a removal `sweep` begins to build a selector without it, at the latest.
        """
        super().__init__(dimension, threads=threads, block_rows=block_rows)
        self._kind = kind
        self._build_threads = build_threads or threads
        self._rebuild_ns = round(rebuild_seconds * 1e9)
        self._cover: Cover | None = None
        self._replaced: deque[tuple[int, Cover]] = deque()
        self._build: _Build | None = None
        self._stale = False
        """Whether the selector, or the one that is being built, holds a row that was removed."""
        self._waiting_since_ns: int | None = None
        self._seen_moment = 0
        self._changed_ns = 0
        self._retry_ns: int | None = None
        """When a build may begin after one that failed."""

    @property
    def covered(self) -> int:
        """Rows that are searched through a selector; the others are searched exactly."""
        return 0 if self._cover is None else len(self._cover)

    @property
    def settled(self) -> bool:
        """Whether no row waits for a build or is being built over, and nothing of a removed template is left."""
        return super().settled and not (self._build or self._stale or self._replaced or self._many_beside())

    def remove(self, entry: str) -> bool:
        """Hide an entry from the next `publish` on; returns whether it was there."""
        place = self._places.get(entry)
        if place is not None:
            self._stale = self._stale or self._in_a_selector(place)
        return super().remove(entry)

    def publish(self, version: int) -> None:
        """Make all changes so far visible at once, as the state at this watchlist version."""
        with self._published:
            self._snapshot = _Covered(self._snapshot.moment + 1, version, len(self._places), self._cover)
            self._published.notify_all()

    def sweep(self, now_ns: int) -> int:
        """Do what `InnerProductIndex.sweep` does, take over a selector that is built, and begin to build one if due.

        A build that memory does not suffice for leaves the selector before it in its place, and the next one waits
        `rebuild_seconds`; raises what else a build raised.
        """
        removed = super().sweep(now_ns)
        if self._build is not None and not self._build.running:
            try:
                self._take_over(self._build)
            except NO_ROOM as error:
                self._retry_ns = now_ns + self._rebuild_ns
                _log.warning(
                    "the index of %d entries could not be built (%s: %s); they are searched all the same, and the next "
                    "build begins in %g s", len(self._places), type(error).__name__, error, self._rebuild_ns / 1e9,
                )  # fmt: skip
        self._blocks = [block for block in self._blocks if block.live or not block.full]
        if self._build is None:
            due = self._build_due(now_ns)
            # one block in each sweep, since additions wait meanwhile
            emptied = (due or self._cover is None) and self._empty_a_sparse_block()
            if due and not emptied:
                self._begin()
        self._wipe_replaced()
        return removed

    def rebuild(self) -> None:
        """Build a selector over all rows now and wait for it, for a benchmark or a test; `publish` before.

        Raises what the build raised.
        """
        if self._build is None:
            while self._empty_a_sparse_block():
                pass
            self._begin()
        if self._build is not None:
            self._build.wait()
            self._take_over(self._build)
        self._wipe_replaced()

    def search(self, held: Snapshot, probes: Probes, k: int) -> list[list[Candidate]]:
        """For each probe the best entries of a held snapshot that had not expired when it was captured.

        By falling score, equal scores by entry id; the scores are those of an exact search. Of covered rows the
        selector may miss some, but none because of others that are removed or expired.
        """
        cover = held.cover if isinstance(held, _Covered) else None
        if cover is None:
            return super().search(held, probes, k)
        found, short = cover.search(probes, k, held.moment, self._threads)
        blocks, parts = list(cover.blocks), [found]
        for block in self._blocks:
            if cover.bound(block) < block.top:
                hits = block.search(probes, k, held.moment, self._threads, cover.bound(block))
                parts.append(Found.of(hits, len(blocks)))
                blocks.append(block)
        ranked = candidates(blocks, Found.together(parts), k, held.version)
        if short.size:
            some = Probes(probes.templates[short], probes.capture_ns[short])
            for place, exact in zip(short.tolist(), super().search(held, some, k), strict=True):
                ranked[place] = exact
        return ranked

    def _in_a_selector(self, place: Place) -> bool:
        bounds = [each.bound(place.block) for each in (self._cover, self._build) if each is not None]
        return any(place.row < bound for bound in bounds)

    def _many_beside(self) -> bool:
        beside = 0
        for block in self._blocks:
            bound = 0 if self._cover is None else self._cover.bound(block)
            beside += block.top - bound if bound else block.live
        return beside >= max(self._kind.least_rows, self.covered // BESIDE_SHARE)

    def _build_due(self, now_ns: int) -> bool:
        if self._seen_moment != self._snapshot.moment:
            self._seen_moment, self._changed_ns = self._snapshot.moment, now_ns
        # the clock may have been set back
        self._changed_ns = min(self._changed_ns, now_ns)
        if self._retry_ns is not None:
            self._retry_ns = min(self._retry_ns, now_ns + self._rebuild_ns)
            return now_ns >= self._retry_ns
        many = self._many_beside()
        if not many and not self._stale:
            self._waiting_since_ns = None
            return False
        self._waiting_since_ns = now_ns if self._waiting_since_ns is None else min(self._waiting_since_ns, now_ns)
        quiet = many and now_ns - self._changed_ns >= QUIET_NS
        return quiet or now_ns - self._waiting_since_ns >= self._rebuild_ns

    def _begin(self) -> None:
        parts = [Part(block, block.alive()) for block in self._blocks]
        templates = Templates(parts, self._dimension)
        if len(templates) >= self._kind.least_rows:
            for block in self._blocks:
                block.pin()  # a selector knows rows by their numbers
            self._build = _Build(self._kind, templates, self._build_threads)
        elif self._cover is not None:
            self._replace(None)
        self._stale, self._waiting_since_ns, self._retry_ns = False, None, None

    def _take_over(self, build: "_Build") -> None:
        try:
            self._replace(build.result())
        except BaseException:
            self._stale = True
            raise
        finally:
            self._build = None

    def _replace(self, cover: Cover | None) -> None:
        before, self._cover = self._cover, cover
        self.publish(self._snapshot.version)
        if before is not None:
            self._replaced.append((self._snapshot.moment, before))

    def _wipe_replaced(self) -> None:
        oldest = self._oldest()
        while self._replaced and self._replaced[0][0] <= oldest:
            self._replaced.popleft()[1].wipe()

    def _empty_a_sparse_block(self) -> bool:
        """Write the entries of the emptiest full block anew, if rows that are not used again are most of it.

        Returns whether there was one.
        """
        sparse = [block for block in self._blocks if block.full and block.live < self._block_rows // 2]
        for block in sorted(sparse, key=lambda each: each.live):
            rows = block.alive().tolist()
            if not rows:
                continue  # a search still holds what was in it
            for row in rows:
                self.put(block.entry_at(row))
            self.publish(self._snapshot.version)
            self._seen_moment = self._snapshot.moment  # to whoever searches nothing changed
            self._overwrite_dead()
            return True
        return False


class _Build:
    """A selector in the making, in a thread of its own."""

    def __init__(self, kind: Kind, templates: Templates, threads: int) -> None:
        self._kind = kind
        self._templates = templates
        self._threads = threads
        self._bounds = {part.block: part.block.top for part in templates.parts}
        self._cover: Cover | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="build", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is still being built."""
        return self._thread.is_alive()

    def bound(self, block: Block) -> int:
        """Rows of `block` from here on will not be covered."""
        return self._bounds.get(block, 0)

    def wait(self) -> None:
        """Wait until it is built, or failed."""
        self._thread.join()

    def result(self) -> Cover:
        """What was built; raises what the build raised."""
        if self._failure is not None:
            raise self._failure
        assert self._cover is not None
        return self._cover

    def _run(self) -> None:
        try:
            niceness = max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0))
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)  # Linux: of this thread alone
            selector = self._kind.build(self._templates, self._threads)
            self._cover = Cover(selector, self._templates.parts, list(self._bounds.values()))
        except BaseException as error:  # noqa: BLE001  # raised by result(), in the thread that changes the index
            traceback.clear_frames(error.__traceback__)  # of what was built so far, which may fill the memory
            self._failure = error
