"""A run on a real Kafka: its cameras, its workers, and what must hold of what it has left there."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from kafka_moments import PATIENCE_SECONDS, Moment
from kafka_worker import GroupProtocol, Seat, Worker, WorkerProcess, entry_of

from pipeline.catalog.outcomes import Outcome
from pipeline.catalog.topics import ALERTS, CUSTODY, FRAMES, TOPICS
from pipeline.core.alerting import alert_id
from pipeline.core.custody import Coverage, Spans
from pipeline.records import Alert, ConsumedRecord, Frame, OutcomeRange, OutgoingRecord, Receipt
from pipeline.streams.client import Connection, Notices
from pipeline.streams.groups import begin_at
from pipeline.streams.offsets import LogEnds
from pipeline.streams.reader import TopicReader
from pipeline.streams.topics import TopicAdmin
from pipeline.streams.writer import RecordWriter
from pipeline.testing.pictures import jpeg
from pipeline.wire import alerts as alert_wire
from pipeline.wire import frames as frame_wire
from pipeline.wire import receipts as receipt_wire

PARTITIONS = 4


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
