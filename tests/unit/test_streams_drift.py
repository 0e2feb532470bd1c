"""How a topic differs from the catalogue: numbers, settings, and what it leads to."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.catalog.topics import (
    ALERTS,
    FRAME_BYTES,
    FRAMES,
    RECORD_BYTES,
    TOPICS,
    WATCHLIST,
    Topic,
    insync_of,
    replication_on,
    settings_of,
)
from pipeline.streams.drift import Asked, Drift, drift, topic_state

BY_NAME = {topic.name: topic for topic in TOPICS}


def metadata(partitions: int, replicas: int) -> Any:
    """A topic as Kafka's metadata have it."""
    return SimpleNamespace(
        partitions={number: SimpleNamespace(replicas=range(replicas)) for number in range(partitions)}
    )


def found(
    name: str, asked: Asked, partitions: int = 4, replicas: int = 1, followed: int | None = None, **changes: str
) -> list[Drift]:
    """The drift of a topic that has the catalogue's settings but for some, written with _ for dots."""
    topic = BY_NAME[name]
    settings = settings_of(topic, replicas) | {key.replace("_", "."): value for key, value in changes.items()}
    return list(topic_state(topic, metadata(partitions, replicas), settings, asked, followed).drift)


@pytest.mark.parametrize(("brokers", "replicas", "insync"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (9, 3, 2), (0, 1, 1)])
def test_replication_follows_the_cluster_and_two_of_three_acknowledge(brokers: int, replicas: int, insync: int) -> None:
    """One of three may be lost; a single broker goes on working."""
    assert (replication_on(brokers), insync_of(replicas)) == (replicas, insync)


def test_more_replicas_bear_the_loss_of_all_but_half() -> None:
    """Writing goes on with the rest."""
    assert [insync_of(replicas) for replicas in (4, 5)] == [2, 3]


def test_a_topic_as_the_catalogue_wants_it_has_no_drift() -> None:
    """On one broker and on three; settings that the catalogue does not name are nobody's business."""
    for brokers, replicas in ((1, 1), (3, 3)):
        assert found(FRAMES, Asked(brokers, 4), replicas=replicas, flush_ms="1") == []
    assert found(WATCHLIST, Asked(), partitions=1) == []


def test_drift_lists_each_difference_and_what_keeps_bytes() -> None:
    """The number of partitions, a culprit with its consequence, and a harmless setting."""
    said = found(FRAMES, Asked(partitions=8), retention_ms="-1", compression_type="gzip")
    assert [(each.setting, each.wanted, each.found, bool(each.consequence)) for each in said] == [
        ("partitions", "8", "4", False),
        ("retention.ms", "120000", "-1", True),
        ("compression.type", "uncompressed", "gzip", False),
    ]


def test_a_culprit_that_the_catalogue_does_not_state_is_listed() -> None:
    """A minimum compaction lag keeps a removed template, though no setting of the catalogue differs."""
    (said,) = found(WATCHLIST, Asked(), partitions=1, min_compaction_lag_ms="3600000")
    assert (said.setting, said.wanted) == ("min.compaction.lag.ms", "0")


def test_replicas_are_compared_with_the_brokers_unless_a_number_is_asked_for() -> None:
    """One of one is right, one of three is not, and more than the catalogue's are nobody's business."""
    assert found(FRAMES, Asked(3), replicas=5) == []
    (said,) = found(FRAMES, Asked(3), replicas=1)
    assert (said.setting, said.wanted, said.found) == ("replicas", "3", "1")
    assert "lost with one broker" in said.consequence
    (said,) = found(FRAMES, Asked(3, replication=2), replicas=3)
    assert (said.setting, said.wanted, said.consequence) == ("replicas", "2", "")


@pytest.mark.parametrize(("replicas", "insync", "wanted"), [(3, "1", "2"), (1, "2", "1"), (3, "3", "2")])
def test_min_insync_replicas_is_held_against_the_replicas_that_are_there(
    replicas: int, insync: str, wanted: str
) -> None:
    """Whatever the number that was asked for: it would make another value wrong."""
    (said,) = found(FRAMES, Asked(replicas), replicas=replicas, min_insync_replicas=insync)
    assert (said.setting, said.wanted, said.found) == ("min.insync.replicas", wanted, insync)


def test_a_topic_that_follows_another_needs_as_many_partitions() -> None:
    """Fewer, and no run starts; more are right, and a number that was asked for goes first."""
    assert found(ALERTS, Asked(), partitions=4, followed=4) == []
    assert found(ALERTS, Asked(), partitions=8, followed=4) == []
    (said,) = found(ALERTS, Asked(), partitions=4, followed=8)
    assert (said.setting, said.wanted) == ("partitions", "8 as of frames")
    assert "no run starts" in said.consequence
    (said,) = found(ALERTS, Asked(partitions=8), partitions=4, followed=8)
    assert said.wanted == "8"


def test_settings_that_the_cluster_does_not_tell_are_drift() -> None:
    """A topic of a Kafka that does not know one."""
    assert drift(Topic("x", "a test", {"a": "1"}), {"min.insync.replicas": "1"}, 1) == (Drift("a", "1", ""),)


def test_a_record_of_frames_has_room_for_the_largest_picture_with_all_around_it() -> None:
    """The longest ids in the widest letters, and a tracing tool's headers."""
    assert int(BY_NAME[FRAMES].config["max.message.bytes"]) == RECORD_BYTES
    assert RECORD_BYTES - FRAME_BYTES > 2 * 200 * 4 + 8 * 1024
