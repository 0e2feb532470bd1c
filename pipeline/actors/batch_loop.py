"""The worker's three overlapping stages: consume and decode, detect and embed, search and commit.

While batch i is searched and committed, batch i+1 is detected and embedded and batch i+2 decoded; one batch waits
between two stages at most, so memory is bounded by five batches.
"""

import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from pipeline.actors.batch import Opened, Seen, Trace
from pipeline.actors.intake import Intake
from pipeline.actors.settlement import Settlement
from pipeline.actors.sight import Sight
from pipeline.catalog import metrics
from pipeline.errors import LamppostError, TransactionAborted
from pipeline.ports import Assigned, FrameSource, Revoked, Telemetry
from pipeline.records import Batch

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 2.0
"""How long a full stage is waited for before consumption is paused, so that the group still hears from us."""

T = TypeVar("T")

OpenSource = Callable[[Assigned, Revoked, Revoked], FrameSource]
"""Makes the frame source, given what to call with assigned, revoked and lost partitions."""


class BatchLoop:
    """Runs the stages in three threads until it is stopped or fails."""

    def __init__(
        self,
        *,
        open_source: OpenSource,
        intake: Intake,
        sight: Sight,
        settlement: Settlement,
        telemetry: Telemetry,
        trace: Trace,
    ) -> None:
        self._open_source = open_source
        self._intake = intake
        self._sight = sight
        self._settlement = settlement
        self._telemetry = telemetry
        self._trace = trace
        self._opened: queue.Queue[Opened | None] = queue.Queue(maxsize=1)
        self._seen: queue.Queue[Seen | None] = queue.Queue(maxsize=1)
        self._stopping = threading.Event()
        self._rewind = threading.Event()
        self._drain_until = 0.0
        self._source: FrameSource | None = None
        self._lag: dict[int, int] = {}
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(stage,), name=stage.__name__.strip("_"), daemon=True)
            for stage in (self._consume, self._look, self._settle)
        ]

    def start(self) -> None:
        """Begin to consume."""
        for thread in self._threads:
            thread.start()

    def stop(self, deadline_seconds: float) -> bool:
        """Stop consuming, let the batches in flight commit, and leave the group; False if the deadline passed first."""
        self._drain_until = time.monotonic() + deadline_seconds
        self._stopping.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, self._drain_until - time.monotonic()) + 1.0)
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def failure(self) -> BaseException | None:
        """Why the loop ended by itself, if it did."""
        return self._failure

    @property
    def lag(self) -> dict[int, int]:
        """Records between position and end of each assigned partition, as last seen."""
        return dict(self._lag)

    def _guarded(self, stage: Callable[[], None]) -> None:
        try:
            stage()
        except BaseException as error:  # noqa: BLE001  # a thread's failure is kept for the actor's shell to report
            if self._failure is None:
                self._failure = error
            self._stopping.set()

    def _consume(self) -> None:
        source = self._open_source(self._settlement.assigned, self._settlement.revoked, self._settlement.revoked)
        self._source = source
        try:
            number = 0
            while not self._stopping.is_set():
                if self._rewind.is_set():
                    self._settlement.rewound(source.rewind())
                    self._rewind.clear()
                began = time.monotonic()
                batch = source.poll(POLL_SECONDS)
                self._note_lag(source)
                if batch is None:
                    continue
                self._mark("consume", number, began)
                self._hand_on(source, self._opened_batch(batch, number))
                del batch
                number += 1
            self._drain(source)
        finally:
            self._intake.close()
            source.close()

    def _opened_batch(self, batch: Batch, number: int) -> Opened:
        began = time.monotonic()
        opened = self._intake.open(batch, number)
        self._mark("decode", number, began)
        self._telemetry.set(metrics.CLOCK_UNTRUSTED, self._intake.untrusted_cameras)
        return opened

    def _hand_on(self, source: FrameSource, opened: Opened) -> None:
        """Wait for the next stage, while staying a member of the group however long that takes."""
        patience = time.monotonic() + PATIENCE_SECONDS
        paused = False
        while self._failure is None:
            try:
                self._opened.put(opened, timeout=POLL_SECONDS)
                break
            except queue.Full:
                if not paused and time.monotonic() < patience:
                    continue
                if not paused:
                    source.pause()
                    paused = True
                source.poll(0.0)
        if paused:
            source.resume()

    def _drain(self, source: FrameSource) -> None:
        source.pause()
        while self._failure is None:
            try:
                self._opened.put(None, timeout=POLL_SECONDS)
                break
            except queue.Full:
                source.poll(0.0)
        settling = self._threads[2]
        while settling.is_alive() and time.monotonic() < self._drain_until:
            source.poll(0.0)
            settling.join(POLL_SECONDS)

    def _look(self) -> None:
        while (opened := self._next(self._opened)) is not None:
            seen = self._sight.look(opened) if opened.batch.assignment == self._current() else None
            # this thread may wait for long now, and pictures are to live no longer than the look at them
            del opened
            if seen is not None:
                self._pass_on(seen)
        self._pass_on(None)

    def _settle(self) -> None:
        while (seen := self._next(self._seen)) is not None:
            if self._stale(seen):
                continue
            began = time.monotonic()
            found = self._settlement.search(seen, partial(self._worth_waiting, seen))
            self._mark("search", seen.number, began)
            if found is None:
                if not self._stale(seen):
                    # given up at the end of a drain: nothing behind it may be committed either
                    self._rewind.set()
                continue
            try:
                self._settlement.settle(seen, found, self._current)
            except TransactionAborted:
                self._rewind.set()

    def _current(self) -> int:
        """The source's own count, not a copy: it rises before a revocation is waited for."""
        return self._source.assignment if self._source is not None else 0

    def _stale(self, seen: Seen) -> bool:
        return self._rewind.is_set() or seen.batch.assignment != self._current()

    def _worth_waiting(self, seen: Seen) -> bool:
        if self._failure is not None or self._stale(seen):
            return False
        return not self._stopping.is_set() or time.monotonic() < self._drain_until

    def _next(self, stage: "queue.Queue[T | None]") -> T | None:
        while self._failure is None:
            try:
                return stage.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
        return None

    def _pass_on(self, seen: Seen | None) -> None:
        while self._failure is None:
            try:
                self._seen.put(seen, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            else:
                return

    def _note_lag(self, source: FrameSource) -> None:
        before, self._lag = self._lag, dict(source.lag())
        # a partition that went to another worker is no lag of this one's
        for partition, frames in (dict.fromkeys(before, 0) | self._lag).items():
            self._telemetry.set(metrics.LAG, frames, partition=str(partition))

    def _mark(self, stage: str, batch: int, began: float) -> None:
        self._trace.add(batch, stage, began, time.monotonic())


def describe(failure: BaseException) -> str:
    """One line for the operator: an own error's message, or the type and text of a foreign one."""
    return str(failure) if isinstance(failure, LamppostError) else f"{type(failure).__name__}: {failure}"
