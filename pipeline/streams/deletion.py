"""Whether Kafka's settings really make it delete: pure comparisons of topic and broker settings.

``retention.ms`` alone deletes no active segment, and a tombstone leaves the old record until compaction runs. What
counts is how long a record's bytes can stay in the files, and that is a sum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.catalog.topics import RECORD_BYTES, Topic
from pipeline.wire.watchlist import HEARTBEAT_SECONDS

CHECK_INTERVAL_MS: Final = 10_000
"""How often the broker looks for segments to delete, as Lamppost asks for; the broker's own default is 300 000."""
CLEANER_BACKOFF_MS: Final = 15_000
"""How long the broker's log cleaner sleeps when it finds nothing; the broker's default, and what is asked for."""
MS: Final = 1000.0

CHECK_INTERVAL: Final = "log.retention.check.interval.ms"
CLEANER_BACKOFF: Final = "log.cleaner.backoff.ms"
CLEANER_ENABLE: Final = "log.cleaner.enable"


@dataclass(frozen=True, slots=True)
class Pace:
    """How soon a broker deletes what may go."""

    check_interval_ms: float = CHECK_INTERVAL_MS
    cleaner_backoff_ms: float = CLEANER_BACKOFF_MS
    cleans: bool = True
    """Whether it compacts at all."""


ASKED: Final = Pace()
"""The slowest that Lamppost's promises hold with."""


@dataclass(frozen=True, slots=True)
class DeletionProblem:
    """A topic setting that keeps records in the files longer than is promised, or than the catalogue's would."""

    setting: str
    wanted: str
    found: str
    consequence: str


@dataclass(frozen=True, slots=True)
class BrokerAdvice:
    """A broker setting that Lamppost depends on and that should be changed."""

    setting: str
    found: str
    wanted: str
    why: str
    about_topics: bool
    """Whether it is about what the topics hold, and not about who reads them."""


def pace_of(settings: Mapping[str, str]) -> Pace:
    """How soon a broker with these settings deletes; one that it does not tell is taken to be as asked for."""
    return Pace(
        _ms(settings, CHECK_INTERVAL, CHECK_INTERVAL_MS),
        _ms(settings, CLEANER_BACKOFF, CLEANER_BACKOFF_MS),
        settings.get(CLEANER_ENABLE, "true") == "true",
    )


def longest_stay_ms(topic: Topic, settings: Mapping[str, str], pace: Pace = ASKED) -> float:
    """The longest that bytes can stay in the files, in ms; inf if for ever.

    Counted from the record's append for a topic that deletes, from its removal or replacement for one that compacts.
    What the broker takes for the deletion itself comes on top.
    """
    if settings.get(_REMOTE, "false") == "true":
        return float("inf")
    policies = settings.get(_POLICY, "delete").split(",")
    stays = [float("inf")]
    if "delete" in policies:
        stays.append(_by_retention(settings, pace))
    # compaction keeps the last record of each key, which is deletion only where a removal is a record as well
    if "compact" in policies and "compact" in topic.config.get(_POLICY, "delete"):
        stays.append(_by_compaction(settings, pace))
    return min(stays)


def deletion_problems(topic: Topic, found: Mapping[str, str]) -> list[DeletionProblem]:
    """The settings that keep bytes for longer than is allowed, each by itself or, if it takes several, the worst.

    Allowed is what the catalogue promises of the topic, or else what its own settings would make of it.
    """
    right = {**found, **_SAFE, **topic.config}
    allowed = longest_stay_ms(topic, right) if topic.deletion is None else topic.deletion.within_seconds * MS
    different = [name for name in _DECISIVE if found.get(name, right.get(name)) != right.get(name)]
    alone = {name: longest_stay_ms(topic, {**right, name: found[name]}) for name in different}
    blamed = {name: stay for name, stay in alone.items() if stay > allowed}
    together = longest_stay_ms(topic, found)
    if not blamed and together > allowed and alone:
        blamed = {max(alone, key=alone.__getitem__): together}
    return [
        DeletionProblem(
            name, right.get(name, "the broker's default"), found[name], _consequence(topic, name, stay, allowed)
        )
        for name, stay in blamed.items()
    ]


def stay_told(topic: Topic, stay_ms: float, allowed_ms: float) -> str:
    """How long bytes stay, against how long they may, in a sentence."""
    what, promised = ("records", "designed") if topic.deletion is None else (topic.deletion.what, "promised")
    stay = "for ever" if stay_ms == float("inf") else f"up to {stay_ms / MS:,.0f} s"
    return f"{what} stay in the files {stay}; {allowed_ms / MS:,.0f} s are {promised}"


def broker_advice(settings: Mapping[str, str]) -> list[BrokerAdvice]:
    """What to change in a broker's settings so that deletion and take-over are as quick as Lamppost promises."""
    advice = [
        BrokerAdvice(name, settings[name], f"at most {most}", why, name in _ABOUT_TOPICS)
        for name, most, why in _AT_MOST
        if name in settings and _number(settings[name]) > most
    ]
    advice += [
        BrokerAdvice(name, settings[name], f"at least {least}", why, name in _ABOUT_TOPICS)
        for name, least, why in _AT_LEAST
        if name in settings and _number(settings[name]) < least
    ]
    advice += [
        BrokerAdvice(name, settings[name], wanted, why, name in _ABOUT_TOPICS)
        for name, wanted, why in _EXACTLY
        if name in settings and settings[name] != wanted
    ]
    return advice


_AT_MOST: Final = (
    (CHECK_INTERVAL, CHECK_INTERVAL_MS, "expired frames are deleted only when the broker looks"),
    (CLEANER_BACKOFF, CLEANER_BACKOFF_MS, "removed templates are deleted only when the cleaner runs"),
    ("group.consumer.session.timeout.ms", 10_000, "the partitions of a dead worker are idle for so long"),
    ("group.consumer.heartbeat.interval.ms", 2_000, "a worker that joins waits about so long for its partitions"),
    (
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        10_000,
        "a dead worker's transaction holds up readers for so long beyond its time-out",
    ),
)
_AT_LEAST: Final = (
    ("socket.request.max.bytes", 2 * RECORD_BYTES, "a large frame breaks its camera's connection"),
)  # fmt: skip
_EXACTLY: Final = (
    (CLEANER_ENABLE, "true", "without the cleaner a removed template is never deleted"),
    ("transaction.partition.verification.enable", "true", "without it a late record can hold up readers for ever"),
)
_ABOUT_TOPICS: Final = frozenset({CHECK_INTERVAL, CLEANER_BACKOFF, CLEANER_ENABLE, "socket.request.max.bytes"})

_POLICY: Final = "cleanup.policy"
_REMOTE: Final = "remote.storage.enable"
_TIMESTAMP: Final = "message.timestamp.type"
_SAFE: Final[Mapping[str, str]] = {
    # segments are copied to a store whose deletion is nobody's promise
    _REMOTE: "false",
    "min.compaction.lag.ms": "0",
}
"""Settings that can keep bytes and that the catalogue need not state, since every broker begins with them."""
_DECISIVE: Final = (
    _POLICY,
    "retention.ms",
    "segment.ms",
    "max.compaction.lag.ms",
    "min.compaction.lag.ms",
    "file.delete.delay.ms",
    _TIMESTAMP,
    _REMOTE,
)
"""All that decides how long bytes stay; retention.bytes and segment.bytes can only make it less."""


def _consequence(topic: Topic, name: str, stay_ms: float, allowed_ms: float) -> str:
    if name == _REMOTE:
        what = "records" if topic.deletion is None else topic.deletion.what
        return f"{what} are copied to a store that deletes by rules of its own"
    return stay_told(topic, stay_ms, allowed_ms)


def _by_retention(settings: Mapping[str, str], pace: Pace) -> float:
    """A segment goes once its youngest record has expired, so the oldest waits for as long as the segment was written.

    An idle partition's active segment goes as well, since it is rolled when all of it has expired.
    """
    kept = _forever(_ms(settings, "retention.ms", 604_800_000)) + _ahead(settings)
    return kept + _ms(settings, "segment.ms", 604_800_000) + pace.check_interval_ms + _delay(settings)


def _by_compaction(settings: Mapping[str, str], pace: Pace) -> float:
    """The removal has to be in a segment that is rolled, and only a later record rolls one: the heartbeat, if no other.

    One that comes before the segment is old enough rolls nothing, and the next one does. How old it is goes by the
    records' timestamps, and so does the lag.
    """
    if not pace.cleans:
        return float("inf")
    lag = max(_ms(settings, "max.compaction.lag.ms", 2**63 - 1), _ms(settings, "min.compaction.lag.ms", 0))
    rolled = _ms(settings, "segment.ms", 604_800_000) + HEARTBEAT_SECONDS * MS
    return max(_forever(lag), rolled) + _ahead(settings) + pace.cleaner_backoff_ms + _delay(settings)


def _ahead(settings: Mapping[str, str]) -> float:
    """How far in the future a record's timestamp may be: not at all by the broker's clock."""
    if settings.get(_TIMESTAMP, "CreateTime") == "LogAppendTime":
        return 0.0
    return _forever(_ms(settings, "message.timestamp.after.max.ms", 3_600_000))


def _delay(settings: Mapping[str, str]) -> float:
    return _ms(settings, "file.delete.delay.ms", 60_000)


def _ms(settings: Mapping[str, str], name: str, default: float) -> float:
    return _number(settings[name]) if settings.get(name) else default


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("inf")


def _forever(milliseconds: float) -> float:
    """Kafka writes "for ever" as -1 for retention and as the largest long for the compaction lag."""
    return float("inf") if milliseconds < 0 or milliseconds >= 2**62 else milliseconds
