"""Workers of one run on a real Kafka, in threads and in processes, that a test can stop at a moment of its choice.

Real are the batch loop, its source, outbox, cool-down, receipts and codecs; eyes and gallery are those of
`pipeline.testing`, and there is no Ray.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from multiprocessing.connection import Connection as Channel
from typing import Any, Literal

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline.actors.batch import Trace
from pipeline.actors.batch_loop import BatchLoop
from pipeline.actors.intake import Intake
from pipeline.actors.report import Ledger
from pipeline.actors.settlement import Settlement
from pipeline.actors.sight import Sight
from pipeline.catalog import metrics
from pipeline.catalog.outcomes import Outcome
from pipeline.catalog.roles import WORKER_IDS
from pipeline.catalog.topics import ALERTS, CUSTODY, FRAMES, TOPICS
from pipeline.core.alerting import Criteria, alert_id
from pipeline.core.clocks import ClockTrust
from pipeline.core.custody import Coverage, Spans
from pipeline.core.pressure import Overload, Policy
from pipeline.ports import Assigned, Outbox, Revoked
from pipeline.records import (
    Alert,
    ConsumedRecord,
    Frame,
    OutcomeRange,
    OutgoingRecord,
    Probes,
    Receipt,
    SearchResult,
    WatchlistEntry,
)
from pipeline.streams.client import Connection, Notices
from pipeline.streams.consumer import KafkaFrameSource
from pipeline.streams.groups import begin_at
from pipeline.streams.history import KafkaAlertHistory
from pipeline.streams.offsets import LogEnds
from pipeline.streams.outbox import KafkaOutbox
from pipeline.streams.reader import TopicReader
from pipeline.streams.topics import TopicAdmin
from pipeline.streams.writer import RecordWriter
from pipeline.testing.align import align
from pipeline.testing.detector import FakeDetector
from pipeline.testing.embedder import FakeEmbedder
from pipeline.testing.gallery import FakeGallery
from pipeline.testing.pictures import jpeg
from pipeline.testing.shard import FakeShard
from pipeline.testing.telemetry import FakeTelemetry
from pipeline.vision.decode import decode_jpeg
from pipeline.wire import alerts as alert_wire
from pipeline.wire import frames as frame_wire
from pipeline.wire import receipts as receipt_wire

GroupProtocol = Literal["consumer", "classic"]

PARTITIONS = 4
LISTED = range(8)
"""People of `pipeline.testing.pictures` who are on the watchlist, as ``person-0`` and so on."""
COOLDOWN_SECONDS = 30.0
CLOCK_TOLERANCE_SECONDS = 600.0
"""More than a test lets pass on its cameras' clocks, which run ahead of Kafka's."""
CLASSIC_PACE = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
"""How soon members of the classic protocol hear of one another: as with the other, where the local broker says it."""
TRANSACTION_SECONDS = 60.0
"""Longer than any session: a transaction ends by what a test does, and not by Kafka's clock."""
PATIENCE_SECONDS = 60.0
DRAIN_SECONDS = 30.0
"""As long as a takeover may wait for the offsets of partitions that come just then."""


class Moment(Enum):
    """Where a worker can be stopped."""

    SEARCHED = auto()
    """The faces of a batch have been searched, and whether it is still this worker's is not looked at yet."""
    DECIDED = auto()
    """A batch is decided on, and nothing of it is in Kafka yet."""
    UNCOMMITTED = auto()
    """Everything that a batch leaves behind is in Kafka, its offsets too, in a transaction that is open."""
    TAKING_OVER = auto()
    """Partitions are this worker's now, and it asks where to begin."""
    PAUSED = auto()
    """It fetches nothing more until it has settled what it holds."""


At = Callable[[Moment], None]
"""Called by a worker's threads at each of its moments."""


class Gate:
    """Stops a worker at one kind of moment while it is closed, as it is at first."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self.reached = threading.Event()
        self._opened = threading.Event()

    def __call__(self, moment: Moment) -> None:
        """Let every other moment pass; raises TimeoutError in the worker if it is never opened."""
        if moment is self._moment and not self._opened.is_set():
            self.reached.set()
            if not self._opened.wait(PATIENCE_SECONDS):
                raise TimeoutError(f"stopped at {moment} and forgotten")

    def open(self) -> None:
        """Let the worker go on."""
        self._opened.set()

    def close(self) -> None:
        """Stop the worker at its next moment."""
        self._opened.clear()


class WatchedProducer(Producer):
    """librdkafka's producer, which tells of the moments of its transactions."""

    def __init__(self, properties: Mapping[str, Any], *, at: At, logger: logging.Logger) -> None:
        super().__init__(dict(properties), logger=logger)
        self._at = at

    def begin_transaction(self) -> None:
        """See the base."""
        self._at(Moment.DECIDED)
        super().begin_transaction()

    def commit_transaction(self, *args: Any) -> None:
        """See the base, which begins by waiting for the records as this does."""
        assert self.flush(*args) == 0
        self._at(Moment.UNCOMMITTED)
        super().commit_transaction(*args)


class WatchedConsumer(Consumer):
    """librdkafka's consumer, which tells when it takes partitions over and when it is paused."""

    def __init__(self, properties: Mapping[str, Any], *, at: At, logger: logging.Logger) -> None:
        classic = properties.get("group.protocol") == "classic"
        super().__init__({**properties, **(CLASSIC_PACE if classic else {})}, logger=logger)
        self._at = at

    def committed(self, *args: Any, **kwargs: Any) -> list[TopicPartition]:
        """See the base."""
        self._at(Moment.TAKING_OVER)
        return super().committed(*args, **kwargs)

    def pause(self, *args: Any, **kwargs: Any) -> None:
        """See the base."""
        super().pause(*args, **kwargs)
        self._at(Moment.PAUSED)


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
        return sum(span.stage == "embed" for span in self.trace.spans)

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


class KafkaRun:
    """A run that begins now, its cameras (one for each partition) and its workers; use it with `with`."""

    def __init__(self, kafka: Connection, name: str, group_protocol: GroupProtocol) -> None:
        TopicAdmin(kafka).create(TOPICS, partitions=PARTITIONS)
        self.seat = Seat(kafka, name, group_protocol)
        self._frames = LogEnds(kafka, FRAMES)
        self._starts = self._frames.now(self._frames.partitions())
        begin_at(kafka, name, FRAMES, self._starts)
        self._admin = kafka.open(AdminClient, Notices(), {})
        self._alerts = TopicReader(kafka, ALERTS, start="end")
        self._custody = TopicReader(kafka, CUSTODY, start="end")
        self._writer = RecordWriter(kafka)
        self._receipts: list[Receipt] = []
        self._coverage = Coverage()
        self._expected: list[str] = []
        self._now_ns = time.time_ns()
        self._camera_run = 0
        self._sequences: Counter[str] = Counter()
        self._workers: list[Worker | WorkerProcess] = []
        self._stack = ExitStack()

    def __enter__(self) -> "KafkaRun":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for each in (self._alerts, self._custody, self._writer):
            each.close()

    def worker(self, slot: int, **options: Any) -> Worker:
        """A worker in threads, started; it ends with the run."""
        worker = Worker(self.seat, slot, **options)
        self._workers.append(worker)
        self._stack.callback(worker.stop, 0.0)
        return worker

    def process(self, slot: int, stops_at: Moment) -> WorkerProcess:
        """A worker in a process, started; it ends with the run."""
        worker = WorkerProcess(self.seat, slot, stops_at)
        self._workers.append(worker)
        self._stack.callback(worker.kill)
        return worker

    def dismiss(self, worker: Worker | WorkerProcess) -> None:
        """Expect nothing more of a worker that has ended, one way or another."""
        self._workers.remove(worker)

    def film(self, person: int, *, frames: int, alerts: bool, cameras: Iterable[int] = range(PARTITIONS)) -> None:
        """Have each of the cameras publish as many frames of a person; `alerts`: the first is to alert at each."""
        published: list[OutgoingRecord] = []
        cameras = list(cameras)
        for number in range(frames):
            self.let_pass(0.1)
            for partition in cameras:
                frame = self._frame(person, partition)
                key, value, headers = frame_wire.encode(frame)
                published.append(OutgoingRecord(FRAMES, key, value, headers, partition))
                if alerts and number == 0:
                    parts = (frame.camera, frame.camera_run, frame.sequence, entry_of(person))
                    self._expected.append(alert_id(*parts))
        self._writer.write(published)

    def let_pass(self, seconds: float) -> None:
        """Let time pass on the cameras' clocks."""
        self._now_ns += int(seconds * 1e9)

    def restart_cameras(self) -> None:
        """Each camera begins a new run, with sequences from 0."""
        self._camera_run += 1
        self._sequences.clear()

    def delete_frames(self, partition: int, but: int) -> OutcomeRange:
        """Move the log's start on, as retention does, until as many frames are left; what is gone of the run's."""
        end = self._frames.now([partition])[partition] - but
        for done in self._admin.delete_records([TopicPartition(FRAMES, partition, end)]).values():
            done.result()
        return OutcomeRange(partition, self._starts[partition], end, Outcome.EXPIRED)

    def settled(self) -> bool:
        """Whether every frame published so far has an outcome; one that has two is not hidden by this.

        Asserts that no worker in threads has failed, which would be waited for in vain.
        """
        assert [each.loop.failure for each in self._workers if isinstance(each, Worker) and each.loop.failure] == []
        self._note(self._custody.poll(0.0))
        return not self._coverage.audit(self._spans()).gaps

    def finish(self) -> "Finished":
        """Stop the workers that are left, and read everything back.

        Asserts what holds whatever happened: every pass was alerted once, with an id of its first frame's; the receipts
        cover each partition with no gap and no overlap, and account for those alerts; nothing was given up, and only
        what retention took is expired.
        """
        for worker in self._workers:
            failed = worker.ask("stop") if isinstance(worker, WorkerProcess) else worker.stop()
            assert not failed
        self._note(self._custody.read_to(self._custody.ends(), PATIENCE_SECONDS))
        assert self._coverage.audit(self._spans()).problems() == []
        alerts = [
            alert
            for record in self._alerts.read_to(self._alerts.ends(), PATIENCE_SECONDS)
            if (alert := alert_wire.decode(record.key, record.value, record.headers)).run == self.seat.run
        ]
        ids = [alert.id for alert in alerts]
        assert sorted(ids) == sorted(self._expected)
        assert len(set(ids)) == len(ids)
        assert sum(receipt.alerts for receipt in self._receipts) == len(alerts)
        counts = self._coverage.counts
        assert {outcome for outcome, count in counts.items() if count} <= {Outcome.PROCESSED, Outcome.EXPIRED}
        expired = [piece for each in self._receipts for piece in each.ranges if piece.outcome is Outcome.EXPIRED]
        log_starts = self._frames.starts(self._starts)
        assert all(piece.end <= log_starts[piece.partition] for piece in expired)
        return Finished(alerts, self._receipts, expired)

    def _frame(self, person: int, partition: int) -> Frame:
        camera = f"{self.seat.run}/{partition}"
        sequence = self._sequences[camera]
        self._sequences[camera] += 1
        return Frame(camera, f"life-{self._camera_run}", sequence, self._now_ns, jpeg(person))

    def _note(self, records: Iterable[ConsumedRecord]) -> None:
        for record in records:
            receipt = receipt_wire.decode(record.key, record.value, record.headers)
            if receipt.run == self.seat.run:
                self._receipts.append(receipt)
                self._coverage.add(receipt.ranges)

    def _spans(self) -> Spans:
        ends = self._frames.now(self._starts)
        return {partition: (start, ends[partition]) for partition, start in self._starts.items()}


@dataclass(frozen=True)
class Finished:
    """What a run has left in Kafka, as readers of committed records see it."""

    alerts: Sequence[Alert]
    receipts: Sequence[Receipt]
    """In the order of the log."""
    expired: Sequence[OutcomeRange]

    @property
    def settlers(self) -> set[int]:
        """The slots whose transactions were committed."""
        return {receipt.slot for receipt in self.receipts}

    @property
    def alerters(self) -> set[int]:
        """The slots that alerted."""
        return {alert.slot for alert in self.alerts}


def entry_of(person: int) -> str:
    """The watchlist's name for a person."""
    return f"person-{person}"


def _cooldown_of(record: ConsumedRecord) -> tuple[str, str, int]:
    return alert_wire.cooldown_key(record.value, record.headers)
