"""The job behind ``lamppost topics``: make the catalogue's topics, and show how a cluster's differ."""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.catalog.topics import ALERTS, DEAD_LETTERS, FRAMES, TOPICS
from pipeline.errors import BrokerError, SettingsError
from pipeline.runtime.connections import connection_of
from pipeline.runtime.settings import Settings
from pipeline.runtime.words import counted
from pipeline.streams.client import Connection
from pipeline.streams.probe import probe
from pipeline.streams.topics import Drift, TopicAdmin, TopicState


class Creation(NamedTuple):
    """One topic of the catalogue, and whether it had to be made."""

    topic: str
    made: bool


class Line(NamedTuple):
    """One topic, or one way in which it differs, as it is shown."""

    topic: str
    status: str
    """ok, missing or drift."""
    found: str


def create(settings: Settings) -> list[Creation]:
    """Make the topics that are missing; those that exist are left as they are.

    Raises BrokerError if Kafka cannot be reached or refuses, SettingsError if none is set.
    """
    connection = connection_of(settings)
    probe(connection)
    made = TopicAdmin(connection).create(
        TOPICS, partitions=settings.run.partitions, replication=settings.kafka.replication
    )
    return [Creation(topic.name, topic.name in made) for topic in TOPICS]


def differences(settings: Settings) -> list[Line]:
    """How the topics that are there differ from the design, and from the number of partitions if one was asked for."""
    connection = connection_of(settings)
    wanted = settings.run.partitions if "partitions" in settings.run.model_fields_set else None
    states = TopicAdmin(connection).describe(TOPICS, partitions=wanted)
    return [_difference(state, drift) for state in states for drift in state.drift]


def show(settings: Settings) -> list[Line]:
    """Every topic of the catalogue with how it differs; the number of partitions is each run's own choice."""
    connection = connection_of(settings)
    probe(connection)
    return [line for state in TopicAdmin(connection).describe(TOPICS) for line in lines_of(state)]


def require_topics(connection: Connection) -> int:
    """How many partitions ``frames`` has; raises BrokerError unless a run can work on the topics that are there."""
    states = TopicAdmin(connection).describe(TOPICS)
    if problem := topics_problem(states):
        raise BrokerError(f"Kafka at {connection.brokers} {problem}")
    return next(state.partitions for state in states if state.name == FRAMES)


def require_partitions(settings: Settings, partitions: int) -> None:
    """Raise SettingsError if an elastic pool could get more workers than ``frames`` has partitions.

    A fixed pool of that kind starts all the same, as another run of its group may end.
    """
    most = settings.scaling.max
    if most is not None and partitions < most:
        raise SettingsError(
            f"scaling.max={most}, but {FRAMES} on Kafka at {settings.kafka.brokers} has "
            f"{counted(partitions, 'partition')}, and a worker without a partition has nothing to do; set scaling.max "
            f"to at most {partitions}, or make {FRAMES} with `lamppost topics create --partitions {most}`"
        )


def topics_problem(states: Sequence[TopicState]) -> str:
    """Why a run could not work on these topics, and what to do; empty if it could.

    Alerts and dead letters are written to the partition of their frame.
    """
    if missing := [state.name for state in states if not state.exists]:
        return f"has no topic {', '.join(missing)}; make it with `lamppost topics create`"
    counts = {state.name: state.partitions for state in states}
    for name in (ALERTS, DEAD_LETTERS):
        if counts[name] < counts[FRAMES]:
            return (
                f"has {counts[name]} partition(s) of {name} and {counts[FRAMES]} of {FRAMES}, which it follows; "
                f"delete {name} and make it with `lamppost topics create --partitions {counts[FRAMES]}`, "
                f"or give it as many"
            )
    return ""


def lines_of(state: TopicState) -> list[Line]:
    """What to show of one topic."""
    if not state.exists:
        return [Line(state.name, "missing", f"{state.purpose}; make it with `lamppost topics create`")]
    size = f"{state.purpose}; {counted(state.partitions, 'partition')}, {counted(state.replicas, 'replica')}"
    drift = [_difference(state, drift) for drift in state.drift]
    return [Line(state.name, "ok" if not drift else "drift", size), *drift]


def _difference(state: TopicState, drift: Drift) -> Line:
    wanted = f"{drift.wanted} wanted" if drift.setting == "partitions" else f"the design says {drift.wanted}"
    return Line(
        state.name,
        "drift",
        f"{drift.setting}={drift.found or 'unset'}, {wanted}" + (f": {drift.consequence}" if drift.consequence else ""),
    )
