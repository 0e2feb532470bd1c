"""The two worlds that the contract tests run in: the broker in memory, and Kafka."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.errors import InputError
from pipeline.ports import AlertHistory, FrameSource, Outbox
from pipeline.records import Batch, ConsumedRecord, OutgoingRecord
from pipeline.streams.client import LOGGER, Connection
from pipeline.streams.consumer import KafkaFrameSource
from pipeline.streams.history import KafkaAlertHistory
from pipeline.streams.outbox import KafkaOutbox
from pipeline.streams.reader import TopicReader
from pipeline.testing.alert_history import FakeAlertHistory
from pipeline.testing.broker import MemoryBroker
from pipeline.testing.frame_source import FakeFrameSource
from pipeline.testing.outbox import FakeOutbox

PARTITIONS = 2
FOREIGN = b"foreign"
"""The value of a record of `alerts` that is no alert."""


@dataclass
class Calls:
    """Records the assignment callbacks in order."""

    seen: list[tuple[str, Any]] = field(default_factory=list)
    on_assigned: Callable[[], None] | None = None
    on_revoked: Callable[[], None] | None = None

    def assigned(self, starts: Mapping[int, int]) -> None:
        self.seen.append(("assigned", dict(starts)))
        if self.on_assigned:
            self.on_assigned()

    def revoked(self, partitions: Sequence[int]) -> None:
        self.seen.append(("revoked", list(partitions)))
        if self.on_revoked:
            self.on_revoked()

    def lost(self, partitions: Sequence[int]) -> None:
        self.seen.append(("lost", list(partitions)))

    @property
    def owned(self) -> set[int]:
        """The partitions that the calls add up to."""
        owned: set[int] = set()
        for call, partitions in self.seen:
            owned = owned | set(partitions) if call == "assigned" else owned - set(partitions)
        return owned


class World(Protocol):
    """Everything a contract test needs of a broker; what it opens is closed after the test."""

    frames: str
    alerts: str

    def append(self, partition: int, value: bytes, topic: str | None = None) -> None: ...
    def delete_below(self, partition: int, offset: int) -> None: ...
    def source(self, calls: Calls | None = None, batch_limit: int = 128) -> FrameSource: ...
    def outbox(self, slot: int = 0) -> Outbox: ...
    def history(self, open_transaction_seconds: float = 10.0) -> AlertHistory: ...
    def leave_open(self, slot: int, records: Sequence[OutgoingRecord]) -> None: ...
    def values(self, topic: str) -> list[bytes | None]: ...


def decode(record: ConsumedRecord) -> tuple[str, str, int]:
    """The tests' alerts: camera in the key, entry in the value; raises InputError for a value that is no alert."""
    if record.value == FOREIGN:
        raise InputError("not an alert")
    return (record.key or b"").decode(), (record.value or b"").decode(), record.append_ns


class MemoryWorld:
    """The fakes."""

    frames, alerts = "frames", "alerts"

    def __init__(self) -> None:
        self.broker = MemoryBroker({self.frames: PARTITIONS, self.alerts: PARTITIONS})

    def append(self, partition: int, value: bytes, topic: str | None = None) -> None:
        self.broker.append(topic or self.frames, partition, value, b"camera")

    def delete_below(self, partition: int, offset: int) -> None:
        self.broker.delete_below(self.frames, partition, offset)

    def source(self, calls: Calls | None = None, batch_limit: int = 128) -> FrameSource:
        calls = calls or Calls()
        return FakeFrameSource(
            self.broker,
            topic=self.frames,
            group="g",
            assigned=calls.assigned,
            revoked=calls.revoked,
            lost=calls.lost,
            batch_limit=batch_limit,
        )

    def outbox(self, slot: int = 0) -> Outbox:
        return FakeOutbox(self.broker, topic=self.frames, transactional_id=f"run-{slot}")

    def history(self, open_transaction_seconds: float = 10.0) -> AlertHistory:
        return FakeAlertHistory(
            self.broker, topic=self.alerts, decode=decode, open_transaction_seconds=open_transaction_seconds
        )

    def leave_open(self, slot: int, records: Sequence[OutgoingRecord]) -> None:
        FakeOutbox(self.broker, topic=self.frames, transactional_id=f"run-{slot}").begin(records)

    def values(self, topic: str) -> list[bytes | None]:
        return [record.value for record in self.broker.committed_records(topic)]


class KafkaWorld:
    """The real adapters on a real broker, with topics of their own."""

    def __init__(self, kafka: Connection, prefix: str, stack: ExitStack, group_protocol: str = "consumer") -> None:
        self.frames, self.alerts = f"{prefix}frames", f"{prefix}alerts"
        self._kafka, self._prefix, self._stack = kafka, prefix, stack
        self._group_protocol = group_protocol
        self._admin = AdminClient({"bootstrap.servers": kafka.brokers}, logger=LOGGER)
        wanted = [
            NewTopic(self.frames, PARTITIONS, 1, config={"message.timestamp.type": "LogAppendTime"}),
            NewTopic(self.alerts, PARTITIONS, 1),
        ]
        for made in self._admin.create_topics(wanted).values():
            made.result()
        self._producer = Producer({"bootstrap.servers": kafka.brokers, "linger.ms": 0}, logger=LOGGER)
        self._dangling: list[Producer] = []

    def append(self, partition: int, value: bytes, topic: str | None = None) -> None:
        self._producer.produce(topic or self.frames, value, b"camera", partition)
        assert self._producer.flush(10) == 0

    def delete_below(self, partition: int, offset: int) -> None:
        for done in self._admin.delete_records([TopicPartition(self.frames, partition, offset)]).values():
            done.result()

    def source(self, calls: Calls | None = None, batch_limit: int = 128, **options: Any) -> FrameSource:
        calls = calls or Calls()
        source = KafkaFrameSource(
            self._kafka,
            topic=self.frames,
            group=f"{self._prefix}g",
            assigned=calls.assigned,
            revoked=calls.revoked,
            lost=calls.lost,
            batch_limit=batch_limit,
            group_protocol=self._group_protocol,  # type: ignore[arg-type]  # one of the two, by the fixture
            **options,
        )
        self._stack.callback(source.close)
        return source

    def outbox(self, slot: int = 0) -> Outbox:
        outbox = KafkaOutbox(self._kafka, topic=self.frames, transactional_id=f"{self._prefix}run-{slot}")
        self._stack.callback(outbox.close)
        return outbox

    def history(self, open_transaction_seconds: float = 10.0) -> AlertHistory:
        return KafkaAlertHistory(
            self._kafka, topic=self.alerts, decode=decode, open_transaction_seconds=open_transaction_seconds
        )

    def leave_open(self, slot: int, records: Sequence[OutgoingRecord]) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._kafka.brokers,
                "transactional.id": f"{self._prefix}run-{slot}",
            },
            logger=LOGGER,
        )
        producer.init_transactions(10)
        producer.begin_transaction()
        for record in records:
            producer.produce(record.topic, record.value, record.key, record.partition or 0)
        assert producer.flush(10) == 0
        self._dangling.append(producer)

    def values(self, topic: str) -> list[bytes | None]:
        reader = TopicReader(self._kafka, topic)
        try:
            return [record.value for record in reader.read_to(reader.ends(), 10.0)]
        finally:
            reader.close()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each contract test runs in both worlds; of Kafka a test may name the group protocol too, as `kafka classic`."""
    with ExitStack() as stack:
        if request.param == "memory":
            yield MemoryWorld()
        else:
            _, _, protocol = request.param.partition(" ")
            kafka, prefix = request.getfixturevalue("kafka"), request.getfixturevalue("prefix")
            yield KafkaWorld(kafka, prefix, stack, protocol or "consumer")


@pytest.fixture
def make_calls() -> type[Calls]:
    """Makes a record of assignment callbacks for each source."""
    return Calls


@pytest.fixture
def calls() -> Calls:
    """A record of the assignment callbacks of one source."""
    return Calls()


@pytest.fixture
def poll_until() -> Callable[..., list[Batch]]:
    """Polls sources in turn until a condition on the batches so far holds; fails after 20 s."""

    def poll(holds: Callable[[list[Batch]], object], *sources: FrameSource, seconds: float = 20.0) -> list[Batch]:
        batches: list[Batch] = []
        deadline = time.monotonic() + seconds
        while not holds(batches):
            assert time.monotonic() < deadline, f"not within {seconds} s; got {batches}"
            batches += [batch for source in sources if (batch := source.poll(0.05)) is not None]
        return batches

    return poll
