"""Where a consumer group begins."""

import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline.streams.client import PASSING_CODES, Connection, Notices, broker_error

ASK_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 40.0
"""A fresh broker on a busy machine may need longer than one request waits until it has a coordinator."""
RETRY_SECONDS: Final = 0.05


def begin_at(connection: Connection, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Commit `offsets` of `topic` for a group that nobody has joined yet; raises BrokerError if Kafka refuses."""
    notices = Notices()
    admin = connection.open(AdminClient, notices, {})
    until = time.monotonic() + PATIENCE_SECONDS
    # a broker that nobody has asked for a group before has no coordinator for a moment
    while refused := _refusal(admin, group, topic, offsets):
        if refused.code() not in PASSING_CODES or time.monotonic() >= until:
            doing = f"setting the offsets of group {group}"
            raise broker_error(connection.brokers, doing, refused, notices.cause())
        admin.poll(RETRY_SECONDS)


def _refusal(admin: AdminClient, group: str, topic: str, offsets: Mapping[int, int]) -> KafkaError | None:
    """Commit, and return why that was refused, for all partitions or for one."""
    places = [TopicPartition(topic, partition, offset) for partition, offset in sorted(offsets.items())]
    answers = admin.alter_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, places)], request_timeout=ASK_SECONDS
    )
    for answer in answers.values():
        try:
            committed = answer.result().topic_partitions
        except KafkaException as error:
            refused: KafkaError = error.args[0]
            return refused
        refusals: list[KafkaError] = [place.error for place in committed if place.error is not None]
        if refusals:
            return refusals[0]
    return None
