"""The worker's three overlapping stages: consume and decode, detect and embed, search and commit.

While batch i is searched and committed, batch i+1 is detected and embedded and batch i+2 decoded. None waits between
two stages: a stage hands its batch over once the next one is ready for it, and only then begins another. So memory is
bounded by three batches, and a frame is committed within three batch times after its age was looked at.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pipeline.actors.batch import Opened, Seen, Sorted, Trace
from pipeline.actors.handover import POLL_SECONDS, Handover
from pipeline.actors.intake import Intake
from pipeline.actors.settlement import Settlement
from pipeline.actors.sight import Sight
from pipeline.catalog import metrics
from pipeline.core.deadlines import Backoff
from pipeline.errors import BrokerError, TransactionAborted
from pipeline.ports import Assigned, FrameSource, Revoked, Telemetry

ENDED_LIMIT = 1024
"""A batch that ended as many records without a look is not filled up any more: a long backlog that is shed is accounted
for as it goes."""
GATHER_SECONDS = 0.05
"""How long others are looked for that take the place of what ended without a look."""
PATIENCE_SECONDS = 2.0
"""How long a full stage is waited for before consumption is paused, so that the group still hears from us."""
ABORTS_BEFORE_GIVING_UP = 8
"""Transactions rolled back in a row; a rebalance or a coordinator that moves costs one or two."""
BACKOFF = Backoff(first=0.1, factor=2.0, limit=5.0)
"""Pauses after transactions that were rolled back, 11 s in all at most before the loop gives up."""

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
        self._opened: Handover[Opened] = Handover(self._over)
        self._seen: Handover[Seen] = Handover(self._over)
        self._stopping = threading.Event()
        self._given_up = threading.Event()
        self._rewind = threading.Event()
        self._aborts = 0
        self._trouble = ""
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
        """Stop consuming, let the batches in flight commit, and leave the group.

        Returns False if the deadline passed first: what was left in hand is read again by a successor.
        """
        self._drain_until = time.monotonic() + deadline_seconds
        self._stopping.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, self._drain_until - time.monotonic()) + 1.0)
        return not self._given_up.is_set() and not any(thread.is_alive() for thread in self._threads)

    @property
    def failure(self) -> BaseException | None:
        """Why the loop ended by itself, if it did, or never will go on."""
        return self._failure or self._settlement.hang

    @property
    def trouble(self) -> str:
        """Why the latest transaction was rolled back; empty once one was committed."""
        return self._trouble

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
        source = self._open_source(self._take, self._give_up, self._give_up)
        self._source = source
        try:
            number = 0
            while not self._stopping.is_set():
                if self._rewind.is_set():
                    self._settlement.rewound(source.rewind())
                    self._rewind.clear()
                began = time.monotonic()
                batch = self._gathered(source)
                self._note_lag(source)
                if batch is None:
                    continue
                self._mark("consume", number, began)
                opened = self._opened_batch(batch, number)
                # the next stage may be waited for long, and a record is to live no longer than its decoding
                del batch
                self._hand_on(source, opened)
                del opened
                number += 1
            self._drain(source)
        finally:
            self._intake.close()
            source.close()

    def _gathered(self, source: FrameSource) -> Sorted | None:
        """The next batch; others take the place of what is shed or is no frame, as long as there are any.

        So a batch is as large in an overload as it is at saturation, and costs no more of each frame that is looked at.
        """
        polled = source.poll(POLL_SECONDS)
        if polled is None:
            return None
        batch = latest = self._intake.sort(polled)
        until = time.monotonic() + GATHER_SECONDS
        while latest.endings and len(batch.endings) < ENDED_LIMIT:
            if time.monotonic() >= until or self._stopping.is_set():
                break
            polled = source.poll(0.0, len(latest.endings))
            if polled is None:
                break
            latest = self._intake.sort(polled)
            batch = batch.then(latest)
        return batch

    def _take(self, starts: Mapping[int, int]) -> None:
        self._settlement.assigned(starts)
        self._forget_clocks()

    def _give_up(self, partitions: Sequence[int]) -> None:
        self._settlement.revoked(partitions)
        self._forget_clocks()

    def _forget_clocks(self) -> None:
        """Cameras that another worker reads now are none of ours; the others count again with their next frame."""
        self._intake.forget_clocks()
        self._telemetry.set(metrics.CLOCK_UNTRUSTED, 0)

    def _opened_batch(self, batch: Sorted, number: int) -> Opened:
        began = time.monotonic()
        opened = self._intake.open(batch, number)
        self._mark("decode", number, began)
        self._telemetry.set(metrics.CLOCK_UNTRUSTED, self._intake.untrusted_cameras)
        return opened

    def _hand_on(self, source: FrameSource, opened: Opened) -> None:
        """Wait for the next stage as a member of the group, however long that takes until the end of a drain."""
        patience = time.monotonic() + PATIENCE_SECONDS
        paused = False
        while self._failure is None and not self._late() and not self._opened.offer(opened):
            if not paused and time.monotonic() < patience:
                continue
            if not paused:
                source.pause()
                paused = True
            source.poll(0.0)
        if paused:
            source.resume()

    def _drain(self, source: FrameSource) -> None:
        """Wait until what is in hand has been committed, as a member of the group, until the deadline."""
        source.pause()
        settling = self._threads[2]
        told = False
        while self._failure is None and settling.is_alive() and not self._late():
            source.poll(0.0)
            if told:
                settling.join(POLL_SECONDS)
            else:
                told = self._opened.offer(None)

    def _late(self) -> bool:
        """Whether a drain has reached its deadline; what is in hand is given up then."""
        if self._stopping.is_set() and time.monotonic() >= self._drain_until:
            self._given_up.set()
        return self._given_up.is_set()

    def _look(self) -> None:
        while (opened := self._opened.take()) is not None:
            seen = self._sight.look(opened) if opened.extent.assignment == self._current() else None
            # this thread may wait for long now, and pictures are to live no longer than the look at them
            del opened
            if seen is not None:
                self._seen.give(seen)
        self._seen.give(None)

    def _settle(self) -> None:
        while (seen := self._seen.take()) is not None:
            if self._stale(seen):
                continue
            began = time.monotonic()
            found = self._settlement.search(seen, partial(self._worth_waiting, seen))
            self._mark("search", seen.number, began)
            if found is None:
                if not self._stale(seen):
                    # given up at the end of a drain: nothing behind it may be committed either
                    self._given_up.set()
                    self._rewind.set()
                continue
            try:
                if self._settlement.settle(seen, found, self._current):
                    self._aborts, self._trouble = 0, ""
            except TransactionAborted as error:
                self._try_again(error)

    def _try_again(self, error: TransactionAborted) -> None:
        """Have everything in flight read again, after a pause in which the consuming thread stays in its group."""
        self._aborts += 1
        self._trouble = str(error)
        if self._aborts >= ABORTS_BEFORE_GIVING_UP:
            raise BrokerError(f"{error}; so were the {self._aborts - 1} before it, without a commit between") from error
        self._rewind.set()
        self._stopping.wait(BACKOFF.pause(self._aborts, random.random()))

    def _current(self) -> int:
        """The source's own count, not a copy: it rises before a revocation is waited for."""
        return self._source.assignment if self._source is not None else 0

    def _stale(self, seen: Seen) -> bool:
        return self._rewind.is_set() or seen.extent.assignment != self._current()

    def _worth_waiting(self, seen: Seen) -> bool:
        if self._failure is not None or self._stale(seen):
            return False
        return not self._stopping.is_set() or time.monotonic() < self._drain_until

    def _over(self) -> bool:
        """Whether nothing more is to be handed on: a stage failed, or the drain was given up."""
        return self._failure is not None or self._given_up.is_set()

    def _note_lag(self, source: FrameSource) -> None:
        before, self._lag = self._lag, dict(source.lag())
        # a partition that went to another worker is no lag of this one's
        for partition, frames in (dict.fromkeys(before, 0) | self._lag).items():
            self._telemetry.set(metrics.LAG, frames, partition=str(partition))

    def _mark(self, stage: str, batch: int, began: float) -> None:
        self._trace.add(batch, stage, began, time.monotonic())
