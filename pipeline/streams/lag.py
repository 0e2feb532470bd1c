"""How far a consumer group is behind, asked from outside it."""

from collections.abc import Mapping, Sequence
from typing import Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline.streams.client import Connection, Notices, broker_error
from pipeline.streams.offsets import LogEnds

ASK_SECONDS: Final = 5.0


class GroupLag:
    """Asks the broker about one topic and one group, whose members are not disturbed by it."""

    def __init__(self, connection: Connection, *, topic: str, group: str) -> None:
        self._brokers = connection.brokers
        self._topic = topic
        self._group = group
        self._notices = Notices()
        self._admin = connection.open(AdminClient, self._notices, {})
        self._log = LogEnds(connection, topic)
        self._partitions: Sequence[int] = ()

    def frames(self) -> int:
        """Records that the group has not committed and retention has not deleted, over all partitions.

        Raises BrokerError.
        """
        if not self._partitions:
            self._partitions = self._log.partitions()
        committed = self._committed()
        # asked for after the offsets, which therefore lie below
        ends = self._log.now(self._partitions)
        return waiting(committed, self._log.starts(self._partitions), ends)

    def _committed(self) -> dict[int, int]:
        places = [TopicPartition(self._topic, partition) for partition in self._partitions]
        asked = ConsumerGroupTopicPartitions(self._group, places)
        (answer,) = self._admin.list_consumer_group_offsets([asked], request_timeout=ASK_SECONDS).values()
        doing = f"reading the offsets of group {self._group}"
        try:
            found: Sequence[TopicPartition] = answer.result().topic_partitions
        except KafkaException as error:
            self._admin.poll(0)
            raise broker_error(self._brokers, doing, error, self._notices.cause()) from error
        for place in found:
            if place.error is not None:
                raise broker_error(self._brokers, doing, place.error)
        return {place.partition: place.offset for place in found if place.offset >= 0}


def waiting(committed: Mapping[int, int], starts: Mapping[int, int], ends: Mapping[int, int]) -> int:
    """Records from the committed offsets to the ends of the log; none that retention has deleted.

    All of a partition's records where nothing is committed yet.
    """
    return sum(max(0, end - max(committed.get(each, 0), starts[each])) for each, end in ends.items())
