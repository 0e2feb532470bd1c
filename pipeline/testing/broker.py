"""Kafka in memory, in as far as the ports show it: logs with transactions, retention, and consumer groups."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from pipeline.errors import BrokerError, Fenced, TransactionAborted
from pipeline.records import ConsumedRecord, OutgoingRecord
from pipeline.testing.group import Membership, MemoryGroup


class State(Enum):
    """Of the transaction that a record belongs to; a record without one is committed."""

    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()


@dataclass(slots=True)
class Entry:
    """A record in the log, and whether readers of committed records see it."""

    record: ConsumedRecord
    state: State


class MemoryLog:
    """One partition; offsets are never reused."""

    def __init__(self) -> None:
        self.start = 0
        self.entries: list[Entry] = []

    @property
    def end(self) -> int:
        """The offset that the next record gets."""
        return len(self.entries)

    @property
    def stable_end(self) -> int:
        """The first offset of an open transaction, or the end: readers of committed records stop there."""
        return next((entry.record.offset for entry in self.entries if entry.state is State.OPEN), self.end)

    def committed(self, first: int, limit: int) -> list[ConsumedRecord]:
        """Up to `limit` committed records from offset `first` on, before the stable end."""
        span = self.entries[max(first, self.start) : self.stable_end]
        return [entry.record for entry in span if entry.state is State.COMMITTED][:limit]


@dataclass(slots=True)
class _Producer:
    """What the broker knows of a transactional id."""

    epoch: int = 0
    open: tuple[Entry, ...] = ()


class MemoryBroker:
    """Shared by the fake frame sources, outboxes and alert histories of one test; any thread may use it."""

    def __init__(self, topics: Mapping[str, int], now_ns: Callable[[], int] = time.time_ns) -> None:
        """`topics` gives the number of partitions of each; `now_ns` stamps records that are appended."""
        self.changed = threading.Condition(threading.RLock())
        self._now_ns = now_ns
        self._logs = {(name, number): MemoryLog() for name, count in topics.items() for number in range(count)}
        self._groups: dict[tuple[str, str], MemoryGroup] = {}
        self._producers: dict[str, _Producer] = {}
        self._aborts = 0

    def append(self, topic: str, partition: int, value: bytes | None, key: bytes | None = None) -> int:
        """Append a record without headers, outside any transaction; returns its offset."""
        return self.add(OutgoingRecord(topic, key, value, partition=partition))

    def add(self, record: OutgoingRecord) -> int:
        """Append a record outside any transaction; returns its offset."""
        with self.changed:
            return self._append(record, State.COMMITTED).record.offset

    def delete_below(self, topic: str, partition: int, offset: int) -> None:
        """What retention does: the log starts at `offset` from now on."""
        with self.changed:
            log = self.log(topic, partition)
            log.start = max(log.start, min(offset, log.end))
            self.changed.notify_all()

    def log(self, topic: str, partition: int) -> MemoryLog:
        """One partition's log; raises BrokerError if there is none."""
        try:
            return self._logs[topic, partition]
        except KeyError as error:
            raise BrokerError(f"memory broker: no partition {partition} of topic {topic}") from error

    def committed_records(self, topic: str) -> list[ConsumedRecord]:
        """Everything that a reader of committed records finds in a topic, partition by partition."""
        with self.changed:
            return [r for number in self.partitions(topic) for r in self.log(topic, number).committed(0, 10**9)]

    def partitions(self, topic: str) -> list[int]:
        """The partition numbers of a topic."""
        return sorted(number for name, number in self._logs if name == topic)

    def group(self, name: str, topic: str) -> MemoryGroup:
        """The consumer group of that name on a topic, made when it is first asked for."""
        with self.changed:
            if (name, topic) not in self._groups:
                self._groups[name, topic] = MemoryGroup(name, topic, self.partitions(topic))
            return self._groups[name, topic]

    def abort_next(self, count: int = 1) -> None:
        """Make the next `count` commits fail as a coordinator that rolls them back does."""
        with self.changed:
            self._aborts += count

    def take_over(self, transactional_id: str) -> int:
        """Fence the id's predecessor, abort its open transaction, and return the new producer epoch."""
        with self.changed:
            producer = self._producers.setdefault(transactional_id, _Producer())
            self._end(producer, State.ABORTED)
            producer.epoch += 1
            return producer.epoch

    def begin(self, transactional_id: str, epoch: int, records: Iterable[OutgoingRecord]) -> None:
        """Open a transaction and append its records; raises Fenced if a successor holds the id."""
        with self.changed:
            producer = self._live(transactional_id, epoch)
            producer.open += tuple(self._append(record, State.OPEN) for record in records)

    def commit(
        self, transactional_id: str, epoch: int, topic: str, offsets: Mapping[int, int], membership: Membership
    ) -> None:
        """End the open transaction with its offsets; nothing of it is seen after TransactionAborted or Fenced."""
        with self.changed:
            producer = self._live(transactional_id, epoch)
            group = self.group(membership.group, topic) if offsets else None
            refused = [number for number in offsets if group and not group.may_commit(membership, number)]
            if self._aborts or refused:
                self._aborts = max(0, self._aborts - 1)
                self._end(producer, State.ABORTED)
                why = f"partitions {refused} are not this member's" if refused else "as the test wished"
                raise TransactionAborted(f"memory broker: transaction rolled back: {why}")
            self._end(producer, State.COMMITTED)
            if group:
                group.committed.update(offsets)

    def abort(self, transactional_id: str, epoch: int) -> None:
        """End the open transaction, if there is one and it is still this producer's."""
        with self.changed:
            producer = self._producers[transactional_id]
            if producer.epoch == epoch:
                self._end(producer, State.ABORTED)

    def _live(self, transactional_id: str, epoch: int) -> _Producer:
        producer = self._producers[transactional_id]
        if producer.epoch != epoch:
            raise Fenced(f"memory broker: a successor took over {transactional_id}")
        return producer

    def _end(self, producer: _Producer, state: State) -> None:
        for entry in producer.open:
            entry.state = state
        producer.open = ()
        self.changed.notify_all()

    def _append(self, record: OutgoingRecord, state: State) -> Entry:
        partition = record.partition or 0
        log = self.log(record.topic, partition)
        consumed = ConsumedRecord(partition, log.end, self._now_ns(), record.key, record.value, record.headers)
        entry = Entry(consumed, state)
        log.entries.append(entry)
        self.changed.notify_all()
        return entry
