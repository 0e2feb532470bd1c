"""A worker on a real Kafka, in threads or in a process, that a test can stop at a moment of its choice.

Real are the batch loop, its source, outbox, cool-down, receipts and codecs; eyes and gallery are those of
`pipeline.testing`, and there is no Ray.
"""

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Channel
from typing import Any, Literal

from kafka_moments import PATIENCE_SECONDS, At, Gate, Moment, WatchedConsumer, WatchedProducer

from pipeline.actors.batch import Trace
from pipeline.actors.batch_loop import BatchLoop
from pipeline.actors.intake import Intake
from pipeline.actors.report import Ledger
from pipeline.actors.settlement import Settlement
from pipeline.actors.sight import Sight
from pipeline.catalog import metrics
from pipeline.catalog.roles import WORKER_IDS
from pipeline.catalog.topics import ALERTS, FRAMES
from pipeline.core.alerting import Criteria
from pipeline.core.clocks import ClockTrust
from pipeline.core.pressure import Overload, Policy
from pipeline.ports import Assigned, Outbox, Revoked
from pipeline.records import ConsumedRecord, Probes, SearchResult, WatchlistEntry
from pipeline.streams.client import Connection
from pipeline.streams.consumer import KafkaFrameSource
from pipeline.streams.history import KafkaAlertHistory
from pipeline.streams.outbox import KafkaOutbox
from pipeline.testing.align import align
from pipeline.testing.detector import FakeDetector
from pipeline.testing.embedder import FakeEmbedder
from pipeline.testing.gallery import FakeGallery
from pipeline.testing.shard import FakeShard
from pipeline.testing.telemetry import FakeTelemetry
from pipeline.vision.decode import decode_jpeg
from pipeline.wire import alerts as alert_wire

GroupProtocol = Literal["consumer", "classic"]

LISTED = range(8)
"""People of `pipeline.testing.pictures` who are on the watchlist, as ``person-0`` and so on."""
COOLDOWN_SECONDS = 30.0
CLOCK_TOLERANCE_SECONDS = 600.0
"""More than a test lets pass on its cameras' clocks, which run ahead of Kafka's."""
TRANSACTION_SECONDS = 60.0
"""Longer than any session: a transaction ends by what a test does, and not by Kafka's clock."""
DRAIN_SECONDS = 30.0
"""As long as a takeover may wait for the offsets of partitions that come just then."""


class WatchedGallery(FakeGallery):
    """The gallery in memory, which tells when a search is over."""

    def __init__(self, at: At) -> None:
        template = FakeEmbedder().template
        super().__init__(FakeShard(WatchlistEntry(entry_of(person), template(person)) for person in LISTED))
        self._at = at

    def search(self, probes: Probes, k: int) -> SearchResult:
        """See the port."""
        found = super().search(probes, k)
        self._at(Moment.SEARCHED)
        return found


class MachineClock:
    """Implements `pipeline.ports.Clock`; the composition root's own comes with Ray."""

    def now_ns(self) -> int:
        """See the port."""
        return time.time_ns()

    def monotonic(self) -> float:
        """See the port."""
        return time.monotonic()


@dataclass(frozen=True)
class Seat:
    """What the workers of a run have to know; it travels to their processes."""

    kafka: Connection
    run: str
    group_protocol: GroupProtocol

    def source(
        self,
        assigned: Assigned = lambda _: None,
        revoked: Revoked = lambda _: None,
        lost: Revoked = lambda _: None,
        *,
        at: At = lambda _: None,
        batch_limit: int = 128,
    ) -> KafkaFrameSource:
        """A member of the run's group."""
        return KafkaFrameSource(
            self.kafka,
            topic=FRAMES,
            group=self.run,
            assigned=assigned,
            revoked=revoked,
            lost=lost,
            batch_limit=batch_limit,
            group_protocol=self.group_protocol,
            open_consumer=partial(WatchedConsumer, at=at),
        )


class Worker:
    """One batch loop in threads of this process, with what a test looks at."""

    def __init__(
        self,
        seat: Seat,
        slot: int,
        *,
        at: At = lambda _: None,
        batch_limit: int = 128,
        through: Callable[[Outbox], Outbox] = lambda outbox: outbox,
    ) -> None:
        """`through` puts something between the worker and its outbox."""
        embedder, clock, telemetry = FakeEmbedder(), MachineClock(), FakeTelemetry()
        self._telemetry = telemetry
        self._source: KafkaFrameSource | None = None
        self.trace = Trace(telemetry)
        self._outbox = KafkaOutbox(
            seat.kafka,
            topic=FRAMES,
            transactional_id=f"{seat.run}{WORKER_IDS}{slot}",
            transaction_timeout=TRANSACTION_SECONDS,
            open_producer=partial(WatchedProducer, at=at),
        )

        def open_source(assigned: Assigned, revoked: Revoked, lost: Revoked) -> KafkaFrameSource:
            self._source = seat.source(assigned, revoked, lost, at=at, batch_limit=batch_limit)
            return self._source

        self.loop = BatchLoop(
            open_source=open_source,
            intake=Intake(
                decode=decode_jpeg,
                threads=1,
                overload=Overload(Policy.BLOCK, 0),
                clocks=ClockTrust(int(CLOCK_TOLERANCE_SECONDS * 1e9)),
                clock=clock,
            ),
            sight=Sight(detector=FakeDetector(), align=align, embedder=embedder, trace=self.trace),
            settlement=Settlement(
                gallery=WatchedGallery(at),
                outbox=through(self._outbox),
                history=KafkaAlertHistory(seat.kafka, topic=ALERTS, decode=_cooldown_of),
                criteria=Criteria(threshold=0.9, top_k=3, embedder_version=embedder.version, run=seat.run, slot=slot),
                cooldown_seconds=COOLDOWN_SECONDS,
                clock=clock,
                ledger=Ledger(lambda camera: camera, telemetry),
                trace=self.trace,
            ),
            telemetry=telemetry,
            trace=self.trace,
        )
        self.loop.start()

    @property
    def looks(self) -> int:
        """Batches that it has looked at, whatever became of them."""
        return self._batches("embed")

    @property
    def decoded(self) -> int:
        """Batches that it has decoded, whatever became of them."""
        return self._batches("decode")

    def _batches(self, stage: str) -> int:
        return sum(span.stage == stage for span in self.trace.spans)

    @property
    def aborted(self) -> int:
        """Its transactions that were rolled back."""
        return int(self._telemetry.value(metrics.TRANSACTIONS_ABORTED))

    @property
    def assignment(self) -> int:
        """Its source's count of assignments; 0 before it is opened."""
        return 0 if self._source is None else self._source.assignment

    def stop(self, deadline_seconds: float = DRAIN_SECONDS) -> str:
        """Drain, leave the group, free everything; what it failed of, or an empty string."""
        drained = self.loop.stop(deadline_seconds)
        self._outbox.close()
        if self.loop.failure is not None:
            return repr(self.loop.failure)
        return "" if drained else f"not drained; {self._whereabouts()}"

    def _whereabouts(self) -> str:
        """Where the stages that have not ended are, for a failure that cannot be had again at will."""
        frames = sys._current_frames()
        stacks = [
            "".join((f"{each.name}:\n", *traceback.format_stack(frames[each.ident])))
            for each in self.loop._threads
            if each.ident in frames
        ]
        return "".join((f"its latest trouble: {self.loop.trouble or 'none'}\n", *stacks))


class WorkerProcess:
    """A worker in a process of its own, behind a gate, that can be frozen and killed."""

    def __init__(self, seat: Seat, slot: int, stops_at: Moment) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit threads' locks, as librdkafka's
        self._channel, theirs = context.Pipe()
        self._process = context.Process(target=_live, args=(seat, slot, stops_at, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, question: Literal["reached", "open", "aborted", "partitions", "stop"]) -> Any:
        """Ask for, or tell to do, what `_live` lists."""
        self._channel.send(question)
        assert self._channel.poll(PATIENCE_SECONDS), f"no answer to {question!r}"
        return self._channel.recv()

    def freeze(self) -> None:
        """Stop every thread of it, so that the group hears no more from it."""
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        os.kill(self._pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it with no chance to do anything more; it may have ended already."""
        self._process.kill()
        self._process.join()

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid


def _live(seat: Seat, slot: int, stops_at: Moment, channel: Channel) -> None:
    """The life of a worker's process: it answers questions until it is killed."""
    gate = Gate(stops_at)
    worker = Worker(seat, slot, at=gate)
    answers: Mapping[str, Callable[[], Any]] = {
        "reached": gate.reached.is_set,
        "open": gate.open,
        "aborted": lambda: worker.aborted,
        "partitions": lambda: len(worker.loop.lag),
        "stop": worker.stop,
    }
    while True:
        channel.send(answers[channel.recv()]())


def entry_of(person: int) -> str:
    """The watchlist's name for a person."""
    return f"person-{person}"


def _cooldown_of(record: ConsumedRecord) -> tuple[str, str, int]:
    return alert_wire.cooldown_key(record.value, record.headers)
