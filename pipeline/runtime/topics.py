"""The job behind ``lamppost topics``: make the catalogue's topics, show them, and find how a cluster's differ."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pipeline.catalog.topics import FRAMES, TOPICS
from pipeline.errors import BrokerError, SettingsError
from pipeline.runtime.connections import connection_of
from pipeline.runtime.settings import Settings
from pipeline.runtime.words import counted
from pipeline.streams.client import Connection, is_denied
from pipeline.streams.deletion import BrokerAdvice, broker_advice, longest_stay_ms, pace_of, stay_told
from pipeline.streams.drift import PARTITIONS, REPLICAS, Drift, TopicState
from pipeline.streams.probe import probe
from pipeline.streams.topics import TopicAdmin

MS: Final = 1000
OK: Final = "ok"
MISSING: Final = "missing"
DRIFT: Final = "drift"
UNKNOWN: Final = "unknown"
MAKE_OR_ALLOW: Final = "make it with `lamppost topics create`, or allow this user to describe it"
UNSEEN: Final = f"is not there, or this user may not see it; {MAKE_OR_ALLOW}"
"""What to say of a topic that Kafka does not show: one that no ACL lets the user describe looks the same."""
CONFIGS_ADVICE: Final = "allow this user DescribeConfigs on the cluster"
"""What to do if a broker may not be asked for its settings."""


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


class Checked(NamedTuple):
    """A topic or a broker that is as the catalogue has it, or one way in which it is not."""

    place: str
    """A topic's name, or ``broker`` with its id."""
    state: str
    """ok, missing, drift, or unknown if the broker does not tell."""
    setting: str = ""
    found: str = ""
    wanted: str = ""
    meaning: str = ""
    """What it leads to, or what to do about it; empty if it keeps nothing from being deleted, lost or written."""


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
    """How the topics that are there differ from the design, and from partitions and replicas that were asked for."""
    states = _described(TopicAdmin(connection_of(settings)), settings)
    return [_difference(state, drift) for state in states for drift in state.drift]


def show(settings: Settings) -> list[Line]:
    """Every topic of the catalogue with how it differs; the number of partitions is each run's own choice."""
    connection = connection_of(settings)
    probe(connection)
    return [line for state in TopicAdmin(connection).describe(TOPICS) for line in lines_of(state)]


def check(settings: Settings) -> list[Checked]:
    """Every topic and every broker, with all that departs from the catalogue or from what was asked for.

    Of a broker's settings those count that decide what the topics hold and for how long. Raises BrokerError if Kafka
    cannot be reached.
    """
    connection = connection_of(settings)
    probe(connection)
    admin = TopicAdmin(connection)
    states = _described(admin, settings)
    found = [each for state in states for each in checked_topic(state)]
    brokers = admin.broker_settings()
    return found + [each for number, told in brokers.items() for each in checked_broker(number, told, states)]


def checked_topic(state: TopicState) -> list[Checked]:
    """What there is to say of one topic."""
    if not state.exists:
        return [Checked(state.name, MISSING, meaning=f"it {UNSEEN}")]
    if not state.drift:
        return [Checked(state.name, OK, found=_size(state))]
    return [
        Checked(state.name, DRIFT, each.setting, each.found or "unset", each.wanted, each.consequence)
        for each in state.drift
    ]


def checked_broker(
    number: int, settings: Mapping[str, str] | BrokerError, states: Sequence[TopicState]
) -> list[Checked]:
    """What there is to say of a broker's settings, with how long that makes what the topics hold stay there."""
    place = f"broker {number}"
    if isinstance(settings, BrokerError):
        why = f"{settings}; {CONFIGS_ADVICE}" if is_denied(settings) else str(settings)
        return [Checked(place, UNKNOWN, meaning=f"whether it deletes in time is not known: {why}")]
    found = [
        Checked(place, DRIFT, each.setting, each.found, each.wanted, _meaning(each, states))
        for each in broker_advice(settings)
        if each.about_topics
    ]
    return found or [Checked(place, OK)]


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
        return f"has no topic {', '.join(missing)} that this user may see; {MAKE_OR_ALLOW}"
    counts = {state.name: state.partitions for state in states}
    for name in (topic.name for topic in TOPICS if topic.follows == FRAMES):
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
        return [Line(state.name, MISSING, f"{state.purpose}; it {UNSEEN}")]
    size = f"{state.purpose}; {_size(state)}"
    drift = [_difference(state, drift) for drift in state.drift]
    return [Line(state.name, OK if not drift else DRIFT, size), *drift]


def _described(admin: TopicAdmin, settings: Settings) -> list[TopicState]:
    """The topics, compared with the numbers that were asked for; a default was not."""
    wanted = settings.run.partitions if "partitions" in settings.run.model_fields_set else None
    return admin.describe(TOPICS, partitions=wanted, replication=settings.kafka.replication)


def _difference(state: TopicState, drift: Drift) -> Line:
    of_design = drift.setting not in {PARTITIONS, REPLICAS}
    wanted = f"the design says {drift.wanted}" if of_design else f"{drift.wanted} wanted"
    consequence = f": {drift.consequence}" if drift.consequence else ""
    return Line(state.name, DRIFT, f"{drift.setting}={drift.found or 'unset'}, {wanted}{consequence}")


def _size(state: TopicState) -> str:
    return f"{counted(state.partitions, 'partition')}, {counted(state.replicas, 'replica')}"


def _meaning(advice: BrokerAdvice, states: Sequence[TopicState]) -> str:
    """Why a setting matters, and which promises it breaks by itself on the topics as they are."""
    pace, catalogue = pace_of({advice.setting: advice.found}), {topic.name: topic for topic in TOPICS}
    broken = []
    for state in states:
        topic = catalogue[state.name]
        if not state.exists or topic.deletion is None:
            continue
        allowed, stay = topic.deletion.within_seconds * MS, longest_stay_ms(topic, state.settings)
        slowed = longest_stay_ms(topic, state.settings, pace)
        if slowed > max(allowed, stay):
            broken.append(stay_told(topic, slowed, allowed))
    return "; ".join([advice.why, *broken])
