"""Brokers, each asked by itself whom it takes for the leader of a partition."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.streams.client import DENIED_CODES, Connection, Notices, broker_error

ANSWER_SECONDS: Final = 2.0
"""What one broker may take to answer before another is asked: one that stands still never does."""
BOOTSTRAP_ID: Final = -1
"""librdkafka's id of a broker that it knows by its address alone."""


class Witnesses:
    """The brokers of a Kafka, and what they say of one topic; the connection to each is kept as long as it answers."""

    def __init__(self, connection: Connection, topic: str) -> None:
        self._connection = connection
        self._topic = topic
        self._clients: dict[int, Any] = {}
        self.silence = ""
        """Why the last one did not answer; empty if any of those that were asked last did."""

    def doubt(self, leaders: Mapping[int, int], brokers: Mapping[int, Any]) -> set[int]:
        """The partitions whose leader none of the other `brokers` confirms; none on a Kafka of one.

        `leaders` has the id of each partition's, `brokers` the metadata of each by its id. Raises BrokerError if no ACL
        allows the question.
        """
        doubtful = {number for number in leaders if len(brokers) > 1}
        silences = []
        for id_, broker in sorted(brokers.items()):
            asked = {number for number in doubtful if leaders[number] != id_}
            if not asked:
                continue
            address = f"{broker.host}:{broker.port}"
            try:
                told = self._ask(id_, address)
            except KafkaException as error:
                failed = broker_error(address, f"asking for {self._topic}", error)
                if error.args[0].code() in DENIED_CODES:
                    raise failed from error
                # it is away, and others may not be
                del self._clients[id_]
                silences.append(str(failed))
                continue
            silences.append("")
            doubtful -= {number for number in asked if told.get(number) == leaders[number]}
        self.silence = silences[-1] if silences and all(silences) else ""
        return doubtful

    def _ask(self, id_: int, address: str) -> Mapping[int, int]:
        """The leaders that one broker names; none if it has not heard of the topic, or another has answered."""
        if id_ not in self._clients:
            # a new client knows of this broker alone
            self._clients[id_] = admin_client(replace(self._connection, brokers=address), Notices())
        metadata = self._clients[id_].list_topics(self._topic, timeout=ANSWER_SECONDS)
        found = metadata.topics[self._topic]
        if found.error is not None and found.error.code() in DENIED_CODES:
            raise KafkaException(found.error)
        if metadata.orig_broker_id not in (BOOTSTRAP_ID, id_):
            # by now it has heard of the others, and may ask any of them
            del self._clients[id_]
            return {}
        return {number: each.leader for number, each in found.partitions.items()}


def admin_client(connection: Connection, notices: Notices) -> Any:
    """An admin client; a topic that it asks for is not made by that."""
    # a broker with auto.create.topics.enable would make it, with settings that never delete
    return connection.open(AdminClient, notices, {"allow.auto.create.topics": False})
