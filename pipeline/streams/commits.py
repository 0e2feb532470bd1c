"""What a consumer group has committed, asked from outside it."""

from collections.abc import Collection
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pipeline.streams.client import Connection, Notices, broker_error

ASK_SECONDS: Final = 5.0


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
            found = self._consumer.committed(asked, timeout=ASK_SECONDS)
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
