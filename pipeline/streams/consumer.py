"""The frame source on Kafka: a member of the consumer group on ``frames``.

Positions are this module's own: librdkafka neither reports a gap in offsets nor rewinds after an aborted transaction.
``auto.offset.reset`` is ``error``, so that a position below the log start is said instead of skipped, also where no
record is left behind the gap.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.catalog.topics import BATCH_BYTES
from pipeline.errors import BrokerError
from pipeline.ports import Assigned, Revoked
from pipeline.records import Batch, ConsumedRecord, OffsetRange
from pipeline.streams.client import (
    PASSING_CODES,
    REQUEST_MS,
    RESET_CODES,
    Connection,
    Notices,
    broker_error,
    check_reachable,
)
from pipeline.streams.gaps import check_order, explain_gap, explain_reset
from pipeline.streams.group_offsets import GroupOffsets
from pipeline.streams.messages import consumed_record, place
from pipeline.streams.read_ahead import ReadAhead

LINGER_SECONDS: Final = 0.02
NEW_TOPIC_SECONDS: Final = 15.0
"""How long a topic may be unknown after the start: not every broker knows a new topic at once."""


class KafkaFrameSource:
    """Implements `pipeline.ports.FrameSource`; raises SettingsError if librdkafka refuses the properties."""

    def __init__(
        self,
        connection: Connection,
        *,
        topic: str,
        group: str,
        assigned: Assigned,
        revoked: Revoked,
        lost: Revoked,
        batch_limit: int = 128,
        linger: float = LINGER_SECONDS,
        group_protocol: Literal["consumer", "classic"] = "consumer",
        prefetch_kib: int = 16 * 1024,
        patience: float = 15.0,
        now_ns: Callable[[], int] = time.time_ns,
        open_consumer: Callable[..., Any] = Consumer,
    ) -> None:
        """`linger` and `patience` (how long all brokers may be away) in seconds; `prefetch_kib` bounds the memory of
        records that wait, half of it in the client and half here; `open_consumer` makes confluent-kafka's consumer."""
        self._brokers = connection.brokers
        self._topic = topic
        self._assigned = assigned
        self._batch_limit = batch_limit
        self._linger = linger
        self._patience = patience
        self._now_ns = now_ns
        self._notices = Notices()
        self._unknown_topic_until = time.monotonic() + NEW_TOPIC_SECONDS
        self._assignment = 0
        self._dropped = False
        self._paused = False
        self._fresh: set[int] = set()
        self._restart: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        half_kib = prefetch_kib // 2
        self._consumer = connection.open(open_consumer, self._notices, _properties(group, group_protocol, half_kib))
        self._ahead = ReadAhead(self._consumer, topic, room=half_kib * 1024, chunk=batch_limit, linger=linger)
        self._offsets = GroupOffsets(self._consumer, topic, connection.brokers)
        give_up, lose = partial(self._part_from, revoked), partial(self._part_from, lost)
        self._consumer.subscribe([topic], on_assign=self._take, on_revoke=give_up, on_lost=lose)

    @property
    def assignment(self) -> int:
        """Counts assignments, revocations, losses and rewinds; it may be read from any thread.

        It rises before the callbacks run: a batch that is found current while `revoked` waits is still this member's.
        """
        return self._assignment

    def poll(self, timeout: float, limit: int | None = None) -> Batch | None:
        """See the port."""
        limit = self._batch_limit if limit is None else limit
        self._gather(timeout, limit)
        if self._dropped:
            self._begin_again()
            return None
        if self._paused:
            self._pass_over()
            return None
        messages = self._ahead.take(limit)
        if not messages:
            check_reachable(self._consumer, self._notices, self._brokers, self._patience)
            return None
        membership = self._consumer.consumer_group_metadata()
        consumed_ns = self._now_ns()
        self._notices.reached()
        records: list[ConsumedRecord] = []
        expired: list[OffsetRange] = []
        for message in messages:
            error = message.error()
            if error is not None:
                expired += self._take_error(message, error)
            else:
                expired += self._advance(message)
                records.append(consumed_record(message))
        if not records and not expired:
            return None
        return Batch(tuple(records), tuple(expired), membership, self._assignment, consumed_ns)

    def rewind(self) -> Mapping[int, int]:
        """See the port."""
        self._assignment += 1
        self._dropped = False
        self._fresh.clear()
        self._ahead.keep(())
        starts = self._offsets.starts(self._positions)
        self._read_from(starts)
        return starts

    def lag(self) -> Mapping[int, int]:
        """See the port: as of the last fetch, without asking the broker; partitions not fetched yet are left out."""
        lags: dict[int, int] = {}
        for partition, position in self._positions.items():
            _, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
            if end >= 0:
                lags[partition] = max(0, end - position)
        return lags

    def pause(self) -> None:
        """See the port; partitions that are assigned meanwhile are paused too."""
        self._paused = True
        self._ahead.keep(())
        self._consumer.pause(self._topic_partitions(self._positions))

    def resume(self) -> None:
        """See the port."""
        self._paused = False
        self._consumer.resume(self._topic_partitions(self._positions))
        self._read_from(dict(self._positions))

    def close(self) -> None:
        """Leave the group; the `revoked` callback is called first. Raises BrokerError if that fails."""
        try:
            self._consumer.close()
        except KafkaException as error:
            raise broker_error(self._brokers, "leaving the group", error) from error

    def _gather(self, timeout: float, limit: int) -> None:
        """Wait for a first record and linger for `limit` of them, and take over what else the client has.

        One is waited for first, since consume(n) waits for all n or its whole time-out. Runs the assignment callbacks.
        """
        try:
            if self._paused:
                self._ahead.fetch(self._batch_limit, timeout)
            elif self._ahead.wait(timeout):
                self._ahead.fill(lambda: not self._dropped, self.lag)
                if not self._dropped and len(self._ahead) < limit:
                    self._ahead.fetch(limit - len(self._ahead), self._linger)
        except KafkaException as error:
            raise broker_error(self._brokers, f"reading {self._topic}", error) from error

    def _pass_over(self) -> None:
        """Drop what came in spite of a pause: it is read again after it, as are errors that concern a position."""
        for message in self._ahead.take(len(self._ahead)):
            error = message.error()
            if error is not None and error.code() not in RESET_CODES:
                self._take_error(message, error)

    def _take(self, consumer: Any, partitions: Sequence[TopicPartition]) -> None:
        numbers = sorted(each.partition for each in partitions)
        if numbers:
            self._drop_in_flight()
            starts = self._offsets.starts(numbers)
            self._assigned(starts)
            self._note_restart()
            self._positions.update(starts)
            self._fresh.update(numbers)
        consumer.incremental_assign(self._topic_partitions(numbers))
        if self._paused and numbers:
            consumer.pause(self._topic_partitions(numbers))

    def _part_from(self, tell: Revoked, consumer: Any, partitions: Sequence[TopicPartition]) -> None:
        numbers = sorted(each.partition for each in partitions)
        if numbers:
            self._drop_in_flight()
            tell(numbers)
            for number in numbers:
                self._positions.pop(number, None)
                self._fresh.discard(number)
            self._offsets.forget(numbers)
            self._note_restart()
        consumer.incremental_unassign(list(partitions))

    def _begin_again(self) -> None:
        """Read the partitions that stay from their committed offsets; those that are new have lost nothing."""
        fresh, self._fresh = self._fresh, set()
        self._dropped = False
        self._read_from(self._restart)
        self._ahead.keep(fresh)

    def _note_restart(self) -> None:
        """Ask where the partitions that stay have to be read again.

        Asked within the callback, when no batch in flight can be committed any more: with the classic protocol the
        connection to the coordinator is blocked as soon as the callback is over, until every member has joined again.
        """
        self._restart = self._offsets.starts(sorted(set(self._positions) - self._fresh))

    def _drop_in_flight(self) -> None:
        """Every batch in flight is stale from here on, so the partitions that stay are read again before the next."""
        self._assignment += 1
        self._dropped = True
        self._ahead.keep(())

    def _read_from(self, starts: Mapping[int, int]) -> None:
        """Fetch from `starts` on; assigned anew, since librdkafka refuses to seek after an offset out of range."""
        self._ahead.release()
        self._positions.update(starts)
        again = self._topic_partitions(starts)
        if not again:
            return
        try:
            self._consumer.incremental_unassign(again)
            self._consumer.incremental_assign(again)
            if self._paused:
                self._consumer.pause(again)
        except KafkaException as error:
            raise broker_error(self._brokers, "rewinding", error) from error

    def _advance(self, message: Message) -> list[OffsetRange]:
        """Move the position past a record; returns the expired gap before it, if there is one."""
        partition, offset = place(message)
        expected = self._positions[partition]
        self._positions[partition] = offset + 1
        if offset == expected:
            return []
        check_order(partition, expected, offset)
        return [explain_gap(partition, expected, offset, self._offsets.log_span(partition)[0])]

    def _take_error(self, message: Message, error: KafkaError) -> list[OffsetRange]:
        """What an error in place of a record means: an expired gap, something that passes, or the end."""
        if error.code() in RESET_CODES:
            return self._take_reset(place(message)[0])
        unknown = error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
        if unknown and time.monotonic() >= self._unknown_topic_until:
            raise BrokerError(
                f"Kafka at {self._brokers} has no topic {self._topic}; create it with `lamppost topics create`"
            )
        if not error.fatal() and (unknown or error.code() in PASSING_CODES):
            return []
        raise broker_error(self._brokers, f"reading {self._topic}", error)

    def _take_reset(self, partition: int) -> list[OffsetRange]:
        if partition not in self._positions:
            return []
        position = self._positions[partition]
        first, end = self._offsets.log_span(partition)
        gap = explain_reset(partition, position, first, end)
        self._read_from({partition: position if gap is None else gap.end})
        return [] if gap is None else [gap]

    def _topic_partitions(self, numbers: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number, self._positions[number]) for number in numbers]


def _properties(group: str, group_protocol: str, prefetch_kib: int) -> dict[str, str | int | bool]:
    properties: dict[str, str | int | bool] = {
        "group.id": group,
        "group.protocol": group_protocol,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "max.poll.interval.ms": 120_000,
        "queued.max.messages.kbytes": prefetch_kib,
        "fetch.message.max.bytes": BATCH_BYTES,
        "fetch.max.bytes": 8 * 1024 * 1024,
        # a full queue is looked at again after 1 s by default, which would be a pause of 1 s at full load
        "fetch.queue.backoff.ms": 10,
        "fetch.error.backoff.ms": 100,
        # a rewind waits for the fetch that is under way
        "fetch.wait.max.ms": 100,
        "socket.timeout.ms": REQUEST_MS,
    }
    if group_protocol == "classic":
        # the same incremental rebalances as the other protocol; the session time-out is the broker's matter there
        properties |= {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 10_000}
    return properties
