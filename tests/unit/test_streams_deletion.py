"""Settings that would keep frames or templates longer than promised are found before they do."""

import pytest

from pipeline.catalog.topics import TOPICS, WATCHLIST, Topic
from pipeline.streams.deletion import broker_advice, deletion_problem, longest_stay_ms
from pipeline.streams.topics import drift

BY_NAME = {topic.name: topic for topic in TOPICS}
FRAMES = BY_NAME["frames"].config
TEMPLATES = BY_NAME[WATCHLIST].config


def test_frames_are_gone_within_180_seconds() -> None:
    """The catalogue's settings keep the design's promise, the broker's check interval included."""
    assert longest_stay_ms(FRAMES) <= 180_000


def test_a_removed_template_is_gone_within_60_seconds() -> None:
    """The catalogue's settings keep the design's promise, the cleaner's pause included."""
    assert longest_stay_ms(TEMPLATES) <= 60_000


def test_the_catalogue_has_no_problem_with_itself() -> None:
    """For no topic, whatever its policy."""
    assert [deletion_problem(topic.config, topic.config) for topic in TOPICS] == [None] * len(TOPICS)


@pytest.mark.parametrize(
    ("wanted", "setting", "value", "stay"),
    [
        (FRAMES, "retention.ms", "-1", "for ever"),
        (FRAMES, "segment.ms", "604800000", "604931 s"),
        (FRAMES, "file.delete.delay.ms", "600000", "740 s"),
        (FRAMES, "cleanup.policy", "compact", "for ever"),
        (TEMPLATES, "max.compaction.lag.ms", "9223372036854775807", "for ever"),
        (TEMPLATES, "min.compaction.lag.ms", "3600000", "3621 s"),
        (TEMPLATES, "cleanup.policy", "delete", "for ever"),
    ],
)
def test_a_setting_that_cannot_delete_is_blamed(wanted: dict[str, str], setting: str, value: str, stay: str) -> None:
    """With how long the bytes would stay."""
    found = {**wanted, setting: value}
    if value == "delete":
        found["retention.ms"] = "-1"
    problem = deletion_problem(wanted, found)
    assert problem is not None
    assert (problem.setting, problem.found) == (setting, value)
    assert stay in problem.consequence


def test_faster_deletion_is_no_problem() -> None:
    """A difference, but none that keeps anything."""
    assert deletion_problem(FRAMES, {**FRAMES, "retention.ms": "60000"}) is None


def test_drift_lists_each_difference_and_the_one_that_keeps_bytes() -> None:
    """The number of partitions, a harmless setting, and the culprit with its consequence."""
    found = drift(BY_NAME["frames"], {**FRAMES, "retention.ms": "-1", "compression.type": "gzip"}, 3, 4)
    assert [(each.setting, each.wanted, each.found, bool(each.consequence)) for each in found] == [
        ("partitions", "4", "3", False),
        ("retention.ms", "120000", "-1", True),
        ("compression.type", "producer", "gzip", False),
    ]


def test_drift_lists_a_culprit_that_the_catalogue_does_not_state() -> None:
    """A minimum compaction lag keeps a removed template, though no setting of the catalogue differs."""
    (found,) = drift(BY_NAME[WATCHLIST], {**TEMPLATES, "min.compaction.lag.ms": "3600000"}, 1, None)
    assert (found.setting, found.wanted) == ("min.compaction.lag.ms", "0")


def test_a_topic_as_the_catalogue_wants_it_has_no_drift() -> None:
    """Settings that the catalogue does not name are nobody's business."""
    topic = Topic("x", "a test", {"retention.ms": "5"})
    assert drift(topic, {"retention.ms": "5", "flush.ms": "1"}, 2, None) == ()


def test_a_broker_that_looks_too_seldom_is_told() -> None:
    """Kafka's own default of five minutes, and a cleaner that is off."""
    advice = broker_advice({"log.retention.check.interval.ms": "300000", "log.cleaner.enable": "false"})
    assert [(each.setting, each.wanted) for each in advice] == [
        ("log.retention.check.interval.ms", "at most 10000"),
        ("log.cleaner.enable", "true"),
    ]
    assert broker_advice({"log.retention.check.interval.ms": "10000", "log.cleaner.enable": "true"}) == []
