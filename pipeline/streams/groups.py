"""Where a consumer group begins."""

from collections.abc import Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline.streams.client import Connection, Notices, broker_error

ASK_SECONDS = 10.0


def begin_at(connection: Connection, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Commit `offsets` of `topic` for a group that nobody has joined yet; raises BrokerError if Kafka refuses."""
    admin = connection.open(AdminClient, Notices(), {})
    places = [TopicPartition(topic, partition, offset) for partition, offset in sorted(offsets.items())]
    answers = admin.alter_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, places)], request_timeout=ASK_SECONDS
    )
    try:
        for answer in answers.values():
            answer.result()
    except KafkaException as error:
        raise broker_error(connection.brokers, f"setting the offsets of group {group}", error) from error
