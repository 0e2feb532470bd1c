"""Making the topics of the catalogue, and comparing those of a cluster with it."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # missing in its stubs only
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from pipeline.catalog.topics import Topic, replication_on, settings_of
from pipeline.errors import BrokerError
from pipeline.streams.client import PASSING_CODES, Connection, Notices, broker_error
from pipeline.streams.drift import Asked, TopicState, topic_state

ASK_SECONDS: Final = 10.0
BROKER_SECONDS: Final = 2.0
"""How long one broker of several is waited for before it is asked again."""
RETRY_SECONDS: Final = 0.05


class TopicAdmin:
    """Creates and describes topics; every call raises BrokerError if Kafka does not answer or refuses."""

    def __init__(self, connection: Connection) -> None:
        self._brokers = connection.brokers
        self._connection = connection
        self._notices = Notices()
        self._admin = connection.open(AdminClient, self._notices, {})

    def create(self, topics: Iterable[Topic], *, partitions: int, replication: int | None = None) -> list[str]:
        """Make the topics that are missing; returns their names.

        `partitions` is for topics of which the catalogue states no number; `replication` None is the catalogue's, on as
        many brokers as there are. A topic that exists is left as it is: `describe` says how it differs.
        """
        replicas = replication_on(len(self._metadata().brokers)) if replication is None else replication
        wanted = [
            NewTopic(topic.name, topic.partitions or partitions, replicas, config=settings_of(topic, replicas))
            for topic in topics
        ]
        made: list[str] = []
        for name, answer in self._admin.create_topics(
            wanted, operation_timeout=ASK_SECONDS, request_timeout=ASK_SECONDS
        ).items():
            try:
                answer.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._error(f"creating topic {name}", error) from error
            else:
                made.append(name)
        self._await_leaders(made)
        return made

    def describe(
        self, topics: Sequence[Topic], *, partitions: int | None = None, replication: int | None = None
    ) -> list[TopicState]:
        """Each topic as it is, with its drift.

        `partitions` None does not compare the number of partitions, except with that of a topic that is followed;
        `replication` None compares with the catalogue's, on as many brokers as there are.
        """
        metadata = self._metadata()
        found, asked = metadata.topics, Asked(len(metadata.brokers), partitions, replication)
        settings = self._settings(
            [ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics if topic.name in found]
        )
        return [
            topic_state(
                topic,
                found[topic.name],
                settings[topic.name],
                asked,
                len(found[topic.follows].partitions) if topic.follows in found else None,
            )
            if topic.name in found
            else TopicState(topic.name, topic.purpose, exists=False)
            for topic in topics
        ]

    def partitions_of(self, name: str) -> int:
        """How many partitions a topic has, asked without its settings; BrokerError also if this user may not see it.

        Asked of all topics, since a broker may make one that is asked for by its name.
        """
        found = self._metadata().topics
        if name not in found:
            raise BrokerError(
                f"Kafka at {self._brokers} has no topic {name} that this user may see; make it with "
                f"`lamppost topics create`"
            )
        return len(found[name].partitions)

    def broker_settings(self) -> dict[int, dict[str, str] | BrokerError]:
        """The settings of every broker by its id, or why it does not tell them: it has died, or this user may not ask.

        Raises BrokerError if no broker answers.
        """
        # each broker answers for itself, and the client asks for one in a call
        return {number: self._settings_of_broker(str(number)) for number in sorted(self._metadata().brokers)}

    def _settings_of_broker(self, number: str) -> dict[str, str] | BrokerError:
        try:
            return self._settings([ConfigResource(ResourceType.BROKER, number)])[number]
        except BrokerError as error:
            return error

    def _metadata(self) -> Any:
        try:
            return self._admin.list_topics(timeout=ASK_SECONDS)
        except KafkaException as error:
            raise self._error("connection", error) from error

    def _await_leaders(self, names: Sequence[str]) -> None:
        """Wait until every broker shows topics that were just made: the answer comes before their metadata follow."""
        until = time.monotonic() + ASK_SECONDS
        while names and (missing := {name for each in self._addresses() for name in self._unknown_at(each, names)}):
            if time.monotonic() >= until:
                raise BrokerError(f"Kafka at {self._brokers}: no leader for new topics: {', '.join(sorted(missing))}")
            self._admin.poll(RETRY_SECONDS)

    def _addresses(self) -> list[str]:
        """host:port of each broker, as it tells it to clients; one that has died is not among them for long."""
        return [f"{each.host}:{each.port}" for each in self._metadata().brokers.values()]

    def _unknown_at(self, address: str, names: Sequence[str]) -> list[str]:
        """Which topics the broker at `address` shows no leaders of; all if it does not answer."""
        # a client for this one question, since it asks any broker once it knows of others
        admin = replace(self._connection, brokers=address).open(AdminClient, Notices(), {})
        try:
            found = admin.list_topics(timeout=BROKER_SECONDS).topics
        except KafkaException:
            return list(names)
        return [name for name in names if name not in found or not _has_leaders(found[name])]

    def _settings(self, resources: list[ConfigResource]) -> dict[str, dict[str, str]]:
        if not resources:
            return {}
        until = time.monotonic() + ASK_SECONDS
        while True:
            try:
                return self._settings_once(resources)
            except KafkaException as error:
                # one broker is asked, perhaps one that has just died
                if error.args[0].code() not in PASSING_CODES or time.monotonic() >= until:
                    raise self._error("reading settings", error) from error
            self._admin.poll(RETRY_SECONDS)
            # the client would wait for the broker that it knows for ever
            self._addresses()

    def _settings_once(self, resources: list[ConfigResource]) -> dict[str, dict[str, str]]:
        answers = self._admin.describe_configs(resources, request_timeout=BROKER_SECONDS)
        return {
            resource.name: {name: entry.value for name, entry in answer.result().items() if entry.value is not None}
            for resource, answer in answers.items()
        }

    def _error(self, doing: str, error: KafkaException) -> BrokerError:
        self._admin.poll(0)
        return broker_error(self._brokers, doing, error, self._notices.cause())


def _has_leaders(metadata: Any) -> bool:
    return bool(metadata.partitions) and all(each.leader >= 0 for each in metadata.partitions.values())
