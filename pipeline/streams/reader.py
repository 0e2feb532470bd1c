"""Reading a topic from a place of one's own, outside any group: committed records only, to the end or for ever."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from pipeline.catalog.roles import READER_GROUP
from pipeline.errors import BrokerError
from pipeline.records import ConsumedRecord
from pipeline.streams.client import (
    PASSING_CODES,
    REQUEST_MS,
    RESET_CODES,
    Connection,
    Notices,
    broker_error,
    check_reachable,
)
from pipeline.streams.identity import TopicIdentity, made_anew
from pipeline.streams.messages import consumed_record, place
from pipeline.streams.offsets import LogEnds

Start = Literal["beginning", "end"] | Mapping[int, int]
"""Where to begin: the log's start, its end at the moment, or an offset for each partition."""


class TopicReader:
    """Tails `topic`; one thread uses it. Raises BrokerError if the topic is not there.

    Records of aborted transactions are skipped, those of open ones are waited behind. On a topic that deletes, records
    that went before they were read are skipped in silence. One that is read as a `state`, which is what all of its
    records together say, ends the reader with a BrokerError instead if it is made anew or cut off.
    """

    def __init__(
        self,
        connection: Connection,
        topic: str,
        *,
        start: Start = "beginning",
        partitions: Sequence[int] | None = None,
        patience: float = 15.0,
        state: bool = False,
        open_consumer: Callable[..., Any] = Consumer,
    ) -> None:
        """`partitions` None means all of them; `patience`: seconds that all brokers may be away."""
        self._brokers = connection.brokers
        self._topic = topic
        self._patience = patience
        self._notices = Notices()
        properties = {**_PROPERTIES, "auto.offset.reset": "error"} if state else _PROPERTIES
        self._consumer = connection.open(open_consumer, self._notices, properties)
        self._ends = LogEnds(connection, topic)
        self._identity: TopicIdentity | None = None
        try:
            if state:
                self._identity = TopicIdentity(self._ends, connection.brokers, topic)
            self._assign(start, self._ends.partitions() if partitions is None else sorted(partitions))
        except BaseException:
            self._consumer.close()
            raise

    @property
    def positions(self) -> Mapping[int, int]:
        """Next offset of each partition, past transaction markers; partitions where nothing was seen yet are absent."""
        return dict(self._positions)

    def poll(self, timeout: float, limit: int = 500, linger: float = 0.0) -> list[ConsumedRecord]:
        """Records that are there, after waiting up to `timeout` seconds for a first one."""
        until = time.monotonic() + timeout
        if self._identity is not None:
            self._identity.check()
        while True:
            messages = self._consume(1, max(0.0, until - time.monotonic()))
            if not messages:
                check_reachable(self._consumer, self._notices, self._brokers, self._patience)
                return []
            messages += self._consume(limit - 1, linger) if limit > 1 else []
            self._notices.reached()
            records = [record for record in map(self._take, messages) if record is not None]
            if records or time.monotonic() >= until:
                return records

    def ends(self) -> Mapping[int, int]:
        """The end of each partition at the moment, open transactions included."""
        return self._ends.now(self._partitions)

    def reached(self, ends: Mapping[int, int]) -> bool:
        """Whether everything before `ends` has been handed out."""
        known = {**self._floor, **self._positions}
        return all(end <= known.get(number, 0) for number, end in ends.items())

    def read_to(self, ends: Mapping[int, int], timeout: float) -> Iterator[ConsumedRecord]:
        """Every record up to `ends` (and maybe a few more), waiting for transactions that are open there.

        Raises BrokerError if the end is not reached within `timeout` seconds.
        """
        until = time.monotonic() + timeout
        while not self.reached(ends):
            yield from self.poll(min(0.1, timeout))
            if time.monotonic() > until and not self.reached(ends):
                raise BrokerError(
                    f"Kafka at {self._brokers}: the end of {self._topic} was not reached within {timeout:.0f} s; "
                    f"a transaction may be open there"
                )

    def close(self) -> None:
        """Free the consumer."""
        self._consumer.close()

    def _assign(self, start: Start, partitions: Sequence[int]) -> None:
        self._partitions = tuple(partitions)
        self._positions: dict[int, int] = {}
        # an empty partition, or one read from its end, is read up to there before anything is fetched
        self._floor: Mapping[int, int] = {}
        if start == "beginning":
            offsets = dict.fromkeys(partitions, OFFSET_BEGINNING)
        elif start == "end":
            self._floor = self._ends.now(partitions)
            offsets = dict(self._floor)
        else:
            self._floor = start
            offsets = {number: start[number] for number in partitions}
        self._consumer.assign([TopicPartition(self._topic, number, offset) for number, offset in offsets.items()])

    def _consume(self, limit: int, timeout: float) -> list[Message]:
        try:
            messages: list[Message] = self._consumer.consume(limit, timeout)
        except KafkaException as error:
            raise broker_error(self._brokers, f"reading {self._topic}", error) from error
        return messages

    def _take(self, message: Message) -> ConsumedRecord | None:
        error = message.error()
        partition, offset = place(message)
        if error is None:
            self._positions[partition] = offset + 1
            return consumed_record(message)
        if error.code() == KafkaError._PARTITION_EOF:
            # the offset lies past transaction markers and aborted records, which are never handed out
            self._positions[partition] = offset
        elif error.code() in RESET_CODES:
            raise made_anew(self._brokers, self._topic)
        elif error.fatal() or error.code() not in PASSING_CODES:
            raise broker_error(self._brokers, f"reading {self._topic}", error)
        return None


_PROPERTIES: Final[Mapping[str, str | int | bool]] = {
    "group.id": READER_GROUP,
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "queued.max.messages.kbytes": 8 * 1024,
    "fetch.queue.backoff.ms": 10,
    "fetch.wait.max.ms": 100,
    "socket.timeout.ms": REQUEST_MS,
}
