"""Where a group member has to begin: committed offsets, and the log's own start where there are none."""

import time
from collections.abc import Collection, Iterable
from typing import Any, Final

from confluent_kafka import KafkaException, TopicPartition

from pipeline.errors import BrokerError
from pipeline.streams.client import PASSING_CODES, broker_error
from pipeline.streams.commits import committed

ASK_SECONDS: Final = 5.0
"""How long the broker may take to tell a log's start."""
PATIENCE_SECONDS: Final = 20.0
"""How long a partition may be without a leader that tells it."""
RETRY_SECONDS: Final = 0.1
STABLE_SECONDS: Final = 30.0
"""How long committed offsets may take: they are stable once a predecessor's transaction has ended, 10 s at most, and
with the classic protocol the question waits until every member has joined again."""


class GroupOffsets:
    """Asks the broker, through a member's own consumer, about the offsets of one topic."""

    def __init__(self, consumer: Any, topic: str, brokers: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._brokers = brokers
        self._first_starts: dict[int, int] = {}

    def starts(self, partitions: Collection[int]) -> dict[int, int]:
        """The committed offset of each partition, or where this member first began to read it.

        Waits until no open transaction can change them any more (librdkafka asks for stable offsets when it reads
        committed records only). Raises BrokerError.
        """
        asked = [TopicPartition(self._topic, number) for number in partitions]
        if not asked:
            return {}
        try:
            answers = committed(self._consumer, asked, STABLE_SECONDS)
        except KafkaException as error:
            raise broker_error(self._brokers, "reading committed offsets", error) from error
        starts: dict[int, int] = {}
        for answer in answers:
            if answer.error is not None:
                raise broker_error(self._brokers, "reading committed offsets", answer.error)
            starts[answer.partition] = answer.offset if answer.offset >= 0 else self._first_start(answer.partition)
        return starts

    def forget(self, partitions: Iterable[int]) -> None:
        """These partitions are another member's now."""
        for number in partitions:
            self._first_starts.pop(number, None)

    def log_span(self, partition: int) -> tuple[int, int]:
        """The partition's log start offset and its end, asked of the broker now; raises BrokerError."""
        place = TopicPartition(self._topic, partition)
        until = time.monotonic() + PATIENCE_SECONDS
        again = False
        while True:
            try:
                if again:
                    # the client would ask the leader that it knows for ever, though another leads since
                    self._consumer.list_topics(self._topic, timeout=ASK_SECONDS)
                span: tuple[int, int] | None = self._consumer.get_watermark_offsets(
                    place, timeout=ASK_SECONDS, cached=False
                )
                break
            except KafkaException as error:
                # a partition that is new, or whose leader is gone, has none for a moment
                if error.args[0].code() not in PASSING_CODES or time.monotonic() >= until:
                    raise broker_error(self._brokers, "reading the log's start", error) from error
            again = True
            time.sleep(RETRY_SECONDS)
        if span is None:
            raise BrokerError(f"Kafka at {self._brokers}: reading the log's start took more than {ASK_SECONDS:.0f} s")
        return span

    def _first_start(self, partition: int) -> int:
        """Kept, so that a rewind before the first commit does not pass over what was deleted meanwhile."""
        if partition not in self._first_starts:
            self._first_starts[partition] = self.log_span(partition)[0]
        return self._first_starts[partition]
