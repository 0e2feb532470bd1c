"""Settings that would keep frames or templates longer than promised are found before they do."""

import pytest

from pipeline.catalog.topics import FRAMES, TOPICS, WATCHLIST, Topic
from pipeline.streams.deletion import (
    ASKED,
    Pace,
    broker_advice,
    deletion_problems,
    longest_stay_ms,
    pace_of,
    stay_told,
)

BY_NAME = {topic.name: topic for topic in TOPICS}
PICTURES = BY_NAME[FRAMES]
TEMPLATES = BY_NAME[WATCHLIST]


def problems(topic: Topic, **changes: str) -> dict[str, str]:
    """What is said of a topic with these changes, written with _ for dots: setting to consequence."""
    found = {**topic.config, **{name.replace("_", "."): value for name, value in changes.items()}}
    return {each.setting: each.consequence for each in deletion_problems(topic, found)}


@pytest.mark.parametrize("topic", [PICTURES, TEMPLATES], ids=lambda topic: topic.name)
def test_what_is_promised_holds_with_the_slowest_broker_that_is_accepted(topic: Topic) -> None:
    """Its check interval, its cleaner's pause and the wait for a heartbeat included."""
    assert topic.deletion is not None
    assert longest_stay_ms(topic, topic.config, ASKED) <= topic.deletion.within_seconds * 1000


def test_the_parts_of_a_stay_add_up() -> None:
    """120 s kept, 10 s of a segment, 10 s until the broker looks and 1 s to delete; of templates 5 s of a segment,
    30 s until the next heartbeat, 15 s of the cleaner's pause and 1 s."""
    assert longest_stay_ms(PICTURES, PICTURES.config) == 141_000
    assert longest_stay_ms(TEMPLATES, TEMPLATES.config) == 51_000


def test_the_catalogue_has_no_problem_with_itself() -> None:
    """For no topic, whatever its policy."""
    assert [deletion_problems(topic, topic.config) for topic in TOPICS] == [[]] * len(TOPICS)


@pytest.mark.parametrize(
    ("topic", "setting", "value", "stay"),
    [
        (PICTURES, "retention.ms", "-1", "pictures stay in the files for ever; 180 s are promised"),
        (PICTURES, "segment.ms", "604800000", "up to 604,931 s"),
        (PICTURES, "file.delete.delay.ms", "600000", "up to 740 s"),
        (PICTURES, "cleanup.policy", "compact", "for ever"),
        (PICTURES, "message.timestamp.type", "CreateTime", "up to 3,741 s"),
        (PICTURES, "remote.storage.enable", "true", "copied to a store that deletes by rules of its own"),
        (TEMPLATES, "max.compaction.lag.ms", "9223372036854775807", "removed templates stay in the files for ever"),
        (TEMPLATES, "min.compaction.lag.ms", "3600000", "up to 3,616 s"),
        (TEMPLATES, "segment.ms", "60000", "up to 106 s; 60 s are promised"),
        (TEMPLATES, "message.timestamp.type", "CreateTime", "up to 3,651 s; 60 s are promised"),
        (TEMPLATES, "remote.storage.enable", "true", "removed templates are copied"),
        (BY_NAME["alerts"], "retention.ms", "-1", "records stay in the files for ever"),
    ],
)
def test_a_setting_that_cannot_delete_is_blamed_alone(topic: Topic, setting: str, value: str, stay: str) -> None:
    """With how long the bytes would stay."""
    ((blamed, consequence),) = problems(topic, **{setting.replace(".", "_"): value}).items()
    assert blamed == setting
    assert stay in consequence


def test_a_policy_that_removes_nothing_is_blamed_with_the_retention_it_falls_back_on() -> None:
    """A removal deletes nothing where nothing is compacted."""
    assert "for ever" in problems(TEMPLATES, cleanup_policy="delete", retention_ms="-1")["cleanup.policy"]
    assert problems(TEMPLATES, cleanup_policy="compact,delete", retention_ms="-1") == {}
    assert problems(PICTURES, cleanup_policy="compact,delete") == {}


def test_each_of_several_settings_is_blamed_for_itself() -> None:
    """Putting one right would leave the other."""
    found = problems(PICTURES, retention_ms="-1", file_delete_delay_ms="600000")
    assert set(found) == {"retention.ms", "file.delete.delay.ms"}
    assert "740 s" in found["file.delete.delay.ms"]


def test_settings_that_only_together_keep_too_long_are_said_as_well() -> None:
    """20 s more and 30 s more; the greater one is named, with what both make."""
    found = problems(PICTURES, segment_ms="30000", file_delete_delay_ms="31000")
    ((blamed, consequence),) = found.items()
    assert blamed == "file.delete.delay.ms"
    assert "up to 191 s" in consequence


@pytest.mark.parametrize(
    "changes", [{"retention_ms": "60000"}, {"segment_ms": "30000"}, {"retention_bytes": "5"}, {"segment_bytes": "9"}]
)
def test_what_keeps_the_promise_is_no_problem(changes: dict[str, str]) -> None:
    """Faster, or slower within it; and sizes can only make it less."""
    assert problems(PICTURES, **changes) == {}


def test_a_slower_broker_makes_the_stay_longer() -> None:
    """Kafka's own default of five minutes, and a cleaner that is off."""
    pace = pace_of({"log.retention.check.interval.ms": "300000", "log.cleaner.enable": "false"})
    assert longest_stay_ms(PICTURES, PICTURES.config, pace) == 431_000
    assert longest_stay_ms(TEMPLATES, TEMPLATES.config, pace) == float("inf")
    assert pace_of({}) == ASKED
    assert longest_stay_ms(TEMPLATES, TEMPLATES.config, Pace(cleaner_backoff_ms=1000)) == 37_000


def test_a_stay_is_told_in_words() -> None:
    """Of what, how long, and how long it may be."""
    assert stay_told(PICTURES, 431_000, 180_000) == "pictures stay in the files up to 431 s; 180 s are promised"
    assert stay_told(Topic("x", "", {}), float("inf"), 5000) == "records stay in the files for ever; 5 s are designed"


def test_a_broker_that_looks_too_seldom_is_told() -> None:
    """Kafka's own default of five minutes, a cleaner that is off, and requests that no large frame fits into."""
    advice = broker_advice(
        {"log.retention.check.interval.ms": "300000", "log.cleaner.enable": "false", "socket.request.max.bytes": "9"}
    )
    assert [(each.setting, each.wanted, each.about_topics) for each in advice] == [
        ("log.retention.check.interval.ms", "at most 10000", True),
        ("socket.request.max.bytes", "at least 8519680", True),
        ("log.cleaner.enable", "true", True),
    ]
    assert broker_advice({"log.retention.check.interval.ms": "10000", "log.cleaner.enable": "true"}) == []


def test_advice_about_groups_is_not_about_topics() -> None:
    """A check of the topics leaves it to the doctor."""
    (advice,) = broker_advice({"group.consumer.session.timeout.ms": "45000"})
    assert not advice.about_topics
