"""What a consumer group has committed, asked from outside it."""

import time
from collections.abc import Collection
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.streams.client import Connection, Notices, broker_error

ASK_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.1
AGAIN_CODES: Final = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._DESTROY_BROKER,
    }
)
"""A broker that is no coordinator any more or not yet, and a connection that ends with the request still in it."""


def committed(consumer: Any, asked: list[TopicPartition], seconds: float) -> list[TopicPartition]:
    """What a consumer's group has committed of these partitions; raises KafkaException.

    Asked again for so long while the group has no coordinator: the client waits for one, but passes on what becomes of
    a question to a broker that is one no more, or not yet.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            found: list[TopicPartition] = consumer.committed(
                asked, timeout=max(RETRY_SECONDS, until - time.monotonic())
            )
        except KafkaException as error:
            if error.args[0].code() not in AGAIN_CODES or time.monotonic() >= until:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return found


class GroupCommits:
    """Asks the broker about one topic and one group, whose members are not disturbed by it.

    It asks as a consumer that never joins. The admin client would do, but librdkafka's ends the process with a fault
    in memory if the group's coordinator moves or is still loading (its issue 5040, in 2.16).
    """

    def __init__(self, connection: Connection, *, topic: str, group: str) -> None:
        self._brokers = connection.brokers
        self._topic = topic
        self._doing = f"reading the offsets of group {group}"
        self._notices = Notices()
        # for committed records only, the answer would wait for the end of open transactions
        properties = {"group.id": group, "isolation.level": "read_uncommitted"}
        self._consumer = connection.open(Consumer, self._notices, properties)

    def offsets(self, partitions: Collection[int]) -> dict[int, int]:
        """The committed offset of each partition that has one; raises BrokerError."""
        asked = [TopicPartition(self._topic, number) for number in partitions]
        if not asked:
            return {}
        try:
            found = committed(self._consumer, asked, ASK_SECONDS)
        except KafkaException as error:
            self._consumer.poll(0)
            raise broker_error(self._brokers, self._doing, error, self._notices.cause()) from error
        for place in found:
            if place.error is not None:
                raise broker_error(self._brokers, self._doing, place.error)
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def close(self) -> None:
        """Free the connection."""
        self._consumer.close()
