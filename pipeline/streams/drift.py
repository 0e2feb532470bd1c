"""How a cluster's topics differ from the catalogue's: pure comparisons."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.catalog.topics import Topic, replication_on, settings_of
from pipeline.streams.deletion import deletion_problems

PARTITIONS: Final = "partitions"
REPLICAS: Final = "replicas"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the catalogue leaves to the cluster or to who asks."""

    brokers: int = 1
    partitions: int | None = None
    """Of topics of which the catalogue states no number; None: any will do."""
    replication: int | None = None
    """Replicas of every topic; None: the catalogue's number on so many brokers, or more."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A way in which a topic differs from the catalogue, or from what was asked for."""

    setting: str
    """``partitions``, ``replicas`` or a setting of Kafka."""
    wanted: str
    found: str
    consequence: str = ""
    """What it leads to; empty if it keeps nothing from being deleted, lost or written."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the cluster has it."""

    name: str
    purpose: str
    exists: bool
    """Whether this user is shown it: one that no ACL lets it describe is not told from one that is not there."""
    partitions: int = 0
    replicas: int = 0
    """Of the partition that has the fewest."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """All that Kafka tells, those included that are the broker's defaults."""
    drift: tuple[Drift, ...] = ()


def topic_state(
    topic: Topic, metadata: Any, settings: Mapping[str, str], asked: Asked, followed: int | None = None
) -> TopicState:
    """Compare a topic of the catalogue with the cluster's metadata and settings of it.

    `followed` is how many partitions the topic that it follows has, None if it follows none that is there.
    """
    count = len(metadata.partitions)
    replicas = min((len(each.replicas) for each in metadata.partitions.values()), default=0)
    found = (
        *_partitions(topic, count, asked, followed),
        *_replicas(replicas, asked),
        *drift(topic, settings, replicas),
    )
    return TopicState(topic.name, topic.purpose, True, count, replicas, settings, found)


def drift(topic: Topic, settings: Mapping[str, str], replicas: int) -> tuple[Drift, ...]:
    """Settings that differ from the catalogue's, and others that keep what should go from being deleted."""
    consequences = {each.setting: each for each in deletion_problems(topic, settings)}
    found: list[Drift] = []
    for name, wanted in settings_of(topic, replicas).items():
        actual = settings.get(name, "")
        if actual != wanted:
            blamed = consequences.pop(name, None)
            found.append(Drift(name, wanted, actual, "" if blamed is None else blamed.consequence))
    found += [Drift(name, each.wanted, each.found, each.consequence) for name, each in consequences.items()]
    return tuple(found)


def _partitions(topic: Topic, count: int, asked: Asked, followed: int | None) -> list[Drift]:
    wanted = topic.partitions or asked.partitions
    if wanted is not None and count != wanted:
        return [Drift(PARTITIONS, str(wanted), str(count))]
    if followed is not None and count < followed:
        needed = f"{followed} as of {topic.follows}"
        return [Drift(PARTITIONS, needed, str(count), "no run starts, since it could not write to the others")]
    return []


def _replicas(found: int, asked: Asked) -> list[Drift]:
    wanted = replication_on(asked.brokers) if asked.replication is None else asked.replication
    if found == wanted or (asked.replication is None and found > wanted):
        return []
    lost = "what it holds is lost with one broker" if found == 1 < wanted else ""
    return [Drift(REPLICAS, str(wanted), str(found), lost)]
