"""The topics: their partitioning, replication and limits, and the settings that make deletion happen."""

from collections.abc import Mapping
from typing import Final

import msgspec

FRAMES: Final = "frames"
WATCHLIST: Final = "watchlist"
ALERTS: Final = "alerts"
CUSTODY: Final = "custody"
DEAD_LETTERS: Final = "dead-letters"

SECOND_MS: Final = 1000
DAY_MS: Final = 24 * 3600 * SECOND_MS

FRAME_BYTES: Final = 4 * 1024 * 1024
"""A picture has as many at most."""
RECORD_BYTES: Final = FRAME_BYTES + 64 * 1024
"""A record of ``frames`` at most: a picture with its key, its headers (a tracing tool's too) and Kafka's own framing,
all of which Kafka's limits count."""
BATCH_BYTES: Final = 1024 * 1024
"""Records of ``frames`` that are sent to a partition, and fetched of it, at a time; one that is larger travels alone.

Kafka gives nothing of a batch that is larger than what is fetched while another partition has something.
"""

REPLICATION: Final = 3
"""Replicas of every topic; as many as there are brokers where these are fewer."""
INSYNC: Final = "min.insync.replicas"


class Deletion(msgspec.Struct, frozen=True):
    """What is promised to be gone from the brokers' files, and when."""

    what: str
    within_seconds: int
    since: str
    """What the seconds are counted from."""


UNCOMPRESSED: Final = {"compression.type": "uncompressed"}
"""A few compressed bytes can be a record of hundreds of MB: Kafka takes it apart so, and holds it to the limit."""


class Topic(msgspec.Struct, frozen=True):
    """One topic; `settings_of` has all of its settings, ``config`` those that replication does not decide."""

    name: str
    purpose: str
    config: Mapping[str, str]
    partitions: int | None = None
    """None: the number that the run chose for ``frames``."""
    key: str = ""
    """What the key of a record is."""
    follows: str | None = None
    """A topic whose records this one's are written to the partition of, so that it has as many partitions or more."""
    deletion: Deletion | None = None


def replication_on(brokers: int) -> int:
    """How many replicas a topic has in a cluster of as many brokers, unless the settings say otherwise."""
    return max(1, min(REPLICATION, brokers))


def insync_of(replicas: int) -> int:
    """How many of `replicas` have a record before it counts as written: half of them, and of three two.

    So one of three may be lost and nothing with it, and one alone goes on working.
    """
    return (replicas + 1) // 2


def settings_of(topic: Topic, replicas: int) -> dict[str, str]:
    """Every setting of a topic that has as many replicas."""
    return {**topic.config, INSYNC: str(insync_of(replicas))}


TOPICS: Final = (
    Topic(
        FRAMES,
        "camera frames",
        {
            # retention.ms alone never deletes an active segment: rolling it and deleting soon is what removes the bytes
            "cleanup.policy": "delete",
            "retention.ms": str(120 * SECOND_MS),
            "segment.ms": str(10 * SECOND_MS),
            "file.delete.delay.ms": str(1 * SECOND_MS),
            # by the camera's clock, one that is ahead would keep its pictures for longer
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(RECORD_BYTES),
            **UNCOMPRESSED,
        },
        key="camera id",
        deletion=Deletion("pictures", 180, "the append"),
    ),
    Topic(
        WATCHLIST,
        "templates of the people sought",
        {
            "cleanup.policy": "compact",
            # a removed template leaves the files only when its segment is rolled and compacted
            "max.compaction.lag.ms": str(5 * SECOND_MS),
            "segment.ms": str(5 * SECOND_MS),
            "min.cleanable.dirty.ratio": "0.01",
            "delete.retention.ms": str(60 * SECOND_MS),
            "file.delete.delay.ms": str(1 * SECOND_MS),
            # by the clients' clocks, one that is ahead would put off both
            "message.timestamp.type": "LogAppendTime",
            **UNCOMPRESSED,
        },
        partitions=1,
        key="entry id",
        deletion=Deletion("removed templates", 60, "the removal"),
    ),
    Topic(
        ALERTS,
        "alerts, never a picture",
        {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS), **UNCOMPRESSED},
        key="camera id",
        follows=FRAMES,
    ),
    Topic(
        CUSTODY,
        "batch receipts",
        {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS), **UNCOMPRESSED},
        partitions=1,
        key="run name and worker slot",
    ),
    Topic(
        DEAD_LETTERS,
        "records that were no frames, without their payload",
        {"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS), **UNCOMPRESSED},
        key="camera id",
        follows=FRAMES,
    ),
)
