"""Making the topics of the catalogue, and comparing those of a cluster with it."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # missing in its stubs only
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from pipeline.catalog.topics import Topic
from pipeline.errors import BrokerError
from pipeline.streams.client import PASSING_CODES, Connection, Notices, broker_error
from pipeline.streams.deletion import deletion_problem

ASK_SECONDS: Final = 10.0
BROKER_SECONDS: Final = 2.0
"""How long one broker of several is waited for before it is asked again."""
RETRY_SECONDS: Final = 0.05
BROKER_DEFAULT: Final = -1


@dataclass(frozen=True, slots=True)
class Drift:
    """A way in which a topic differs from the catalogue."""

    setting: str
    wanted: str
    found: str
    consequence: str = ""
    """What it leads to, if it keeps records from being deleted."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the cluster has it."""

    name: str
    purpose: str
    exists: bool
    partitions: int = 0
    replicas: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    """Those that the catalogue states, as they are found."""
    drift: tuple[Drift, ...] = ()


class TopicAdmin:
    """Creates and describes topics; every call raises BrokerError if Kafka does not answer or refuses."""

    def __init__(self, connection: Connection) -> None:
        self._brokers = connection.brokers
        self._connection = connection
        self._notices = Notices()
        self._admin = connection.open(AdminClient, self._notices, {})

    def create(self, topics: Iterable[Topic], *, partitions: int, replication: int | None = None) -> list[str]:
        """Make the topics that are missing; returns their names.

        `partitions` is for topics of which the catalogue states no number; `replication` None is the broker's default.
        A topic that exists is left as it is: `describe` says how it differs.
        """
        wanted = [
            NewTopic(
                topic.name,
                topic.partitions or partitions,
                BROKER_DEFAULT if replication is None else replication,
                config=dict(topic.config),
            )
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

    def describe(self, topics: Sequence[Topic], *, partitions: int | None = None) -> list[TopicState]:
        """Each topic as it is, with its drift; `partitions` None does not compare the number of partitions."""
        try:
            found = self._admin.list_topics(timeout=ASK_SECONDS).topics
        except KafkaException as error:
            raise self._error("connection", error) from error
        settings = self._settings(
            [ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics if topic.name in found]
        )
        return [
            topic_state(topic, found[topic.name], settings[topic.name], partitions)
            if topic.name in found
            else TopicState(topic.name, topic.purpose, exists=False)
            for topic in topics
        ]

    def partitions_of(self, name: str) -> int:
        """How many partitions a topic has, asked without its settings; BrokerError also if this user may not see it.

        Asked of all topics, since a broker may make one that is asked for by its name.
        """
        try:
            found = self._admin.list_topics(timeout=ASK_SECONDS).topics
        except KafkaException as error:
            raise self._error("connection", error) from error
        if name not in found:
            raise BrokerError(
                f"Kafka at {self._brokers} has no topic {name} that this user may see; make it with "
                f"`lamppost topics create`"
            )
        return len(found[name].partitions)

    def broker_settings(self) -> dict[str, str]:
        """The settings of the broker that answers first; BrokerError also if this user may not read them."""
        try:
            nodes = self._admin.list_topics(timeout=ASK_SECONDS).brokers
        except KafkaException as error:
            raise self._error("connection", error) from error
        resource = ConfigResource(ResourceType.BROKER, str(min(nodes)))
        return self._settings([resource])[resource.name]

    def _await_leaders(self, names: Sequence[str]) -> None:
        """Wait until every broker shows topics that were just made: the answer comes before their metadata follow."""
        until = time.monotonic() + ASK_SECONDS
        while names and (missing := {name for each in self._addresses() for name in self._unknown_at(each, names)}):
            if time.monotonic() >= until:
                raise BrokerError(f"Kafka at {self._brokers}: no leader for new topics: {', '.join(sorted(missing))}")
            self._admin.poll(RETRY_SECONDS)

    def _addresses(self) -> list[str]:
        """host:port of each broker, as it tells it to clients; one that has died is not among them for long."""
        try:
            brokers = self._admin.list_topics(timeout=ASK_SECONDS).brokers
        except KafkaException as error:
            raise self._error("connection", error) from error
        return [f"{each.host}:{each.port}" for each in brokers.values()]

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


def topic_state(topic: Topic, metadata: Any, settings: Mapping[str, str], partitions: int | None) -> TopicState:
    """Compare a topic of the catalogue with the cluster's metadata and settings of it."""
    count = len(metadata.partitions)
    replicas = min((len(each.replicas) for each in metadata.partitions.values()), default=0)
    return TopicState(
        topic.name,
        topic.purpose,
        exists=True,
        partitions=count,
        replicas=replicas,
        settings={name: settings.get(name, "") for name in topic.config},
        drift=drift(topic, settings, count, topic.partitions or partitions),
    )


def drift(topic: Topic, settings: Mapping[str, str], count: int, wanted_count: int | None) -> tuple[Drift, ...]:
    """Settings that differ from the catalogue's, and others that keep what should go from being deleted."""
    found: list[Drift] = []
    if wanted_count is not None and count != wanted_count:
        found.append(Drift("partitions", str(wanted_count), str(count)))
    problem = deletion_problem(topic.config, settings)
    for name, wanted in topic.config.items():
        actual = settings.get(name, "")
        if actual != wanted:
            blamed = problem is not None and problem.setting == name
            found.append(Drift(name, wanted, actual, problem.consequence if blamed and problem else ""))
    if problem is not None and all(each.setting != problem.setting for each in found):
        found.append(Drift(problem.setting, problem.wanted, problem.found, problem.consequence))
    return tuple(found)
