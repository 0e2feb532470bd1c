"""Whether Kafka's settings really make it delete: pure comparisons of topic and broker settings.

``retention.ms`` alone deletes no active segment, and a tombstone leaves the old record until compaction runs. What
counts is how long a record's bytes can stay in the files, and that is a sum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CHECK_INTERVAL_MS: Final = 10_000
"""How often the broker looks for segments to delete, as Lamppost asks for; the broker's own default is 300 000."""
CLEANER_BACKOFF_MS: Final = 15_000
"""How long the broker's log cleaner sleeps when it finds nothing; the broker's default, and what is asked for."""
MS: Final = 1000.0


@dataclass(frozen=True, slots=True)
class DeletionProblem:
    """A topic setting that keeps records in the files longer than the catalogue allows."""

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


def longest_stay_ms(settings: Mapping[str, str], check_interval_ms: int = CHECK_INTERVAL_MS) -> float:
    """The longest that bytes can stay in the files, in ms; inf if for ever.

    Counted from the record's append for a topic that deletes, from its replacement for one that compacts. On an idle
    partition the active segment is rolled by age as well, since its time runs from its first record.
    """
    policy = settings.get("cleanup.policy", "delete").split(",")
    delay = _ms(settings, "file.delete.delay.ms", 60_000)
    segment = _ms(settings, "segment.ms", 604_800_000)
    if "compact" in policy:
        lag = max(_ms(settings, "max.compaction.lag.ms", 2**63 - 1), _ms(settings, "min.compaction.lag.ms", 0))
        return _forever(lag) + segment + CLEANER_BACKOFF_MS + delay
    if "delete" not in policy:
        return float("inf")
    return _forever(_ms(settings, "retention.ms", 604_800_000)) + segment + check_interval_ms + delay


def deletion_problem(wanted: Mapping[str, str], found: Mapping[str, str]) -> DeletionProblem | None:
    """The setting most to blame if a topic keeps bytes longer than the catalogue's settings would; None if not."""
    allowed, stays = longest_stay_ms({**_neutral(found), **wanted}), longest_stay_ms(found)
    if stays <= allowed:
        return None
    policies = wanted.get("cleanup.policy", "delete"), found.get("cleanup.policy", "delete")
    if policies[0] != policies[1]:
        blamed = "cleanup.policy"
    else:
        names = ("retention.ms", "max.compaction.lag.ms", "min.compaction.lag.ms", "segment.ms", "file.delete.delay.ms")
        blamed = max(names, key=lambda name: _excess(name, wanted, found))
    stay = "for ever" if stays == float("inf") else f"up to {stays / MS:.0f} s"
    return DeletionProblem(
        blamed,
        wanted.get(blamed, "0" if blamed == "min.compaction.lag.ms" else "the broker's default"),
        found.get(blamed, ""),
        f"bytes stay in the files {stay}; {allowed / MS:.0f} s are allowed",
    )


def broker_advice(settings: Mapping[str, str]) -> list[BrokerAdvice]:
    """What to change in a broker's settings so that deletion and take-over are as quick as Lamppost promises."""
    advice: list[BrokerAdvice] = []
    for name, most, why in _AT_MOST:
        if name in settings and _number(settings[name]) > most:
            advice.append(BrokerAdvice(name, settings[name], f"at most {most}", why))
    for name, wanted, why in _EXACTLY:
        if name in settings and settings[name] != wanted:
            advice.append(BrokerAdvice(name, settings[name], wanted, why))
    return advice


_AT_MOST: Final = (
    ("log.retention.check.interval.ms", CHECK_INTERVAL_MS, "expired frames are deleted only when the broker looks"),
    ("log.cleaner.backoff.ms", CLEANER_BACKOFF_MS, "removed templates are deleted only when the cleaner runs"),
    ("group.consumer.session.timeout.ms", 10_000, "the partitions of a dead worker are idle for so long"),
    ("group.consumer.heartbeat.interval.ms", 2_000, "a worker that joins waits about so long for its partitions"),
    (
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        10_000,
        "a dead worker's transaction holds up readers for so long beyond its time-out",
    ),
)
_EXACTLY: Final = (
    ("log.cleaner.enable", "true", "without the cleaner a removed template is never deleted"),
    ("transaction.partition.verification.enable", "true", "without it a late record can hold up readers for ever"),
)


def _neutral(found: Mapping[str, str]) -> dict[str, str]:
    """The found settings without the one that only lengthens the stay and that the catalogue need not state."""
    return {name: value for name, value in found.items() if name != "min.compaction.lag.ms"}


def _excess(name: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> float:
    if name not in found:
        return 0.0
    base = _number(wanted[name]) if name in wanted else 0.0 if name == "min.compaction.lag.ms" else _number(found[name])
    return _forever(_number(found[name])) - base


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
