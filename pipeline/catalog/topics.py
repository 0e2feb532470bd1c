"""The topics, their partitioning and the settings that make deletion happen."""

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


class Topic(msgspec.Struct, frozen=True):
    """One topic; ``partitions`` None means the number of partitions that the run chose for ``frames``."""

    name: str
    purpose: str
    config: Mapping[str, str]
    partitions: int | None = None


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
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(4 * 1024 * 1024),
            "compression.type": "producer",
        },
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
        },
        partitions=1,
    ),
    Topic(ALERTS, "alerts, never a picture", {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)}),
    Topic(CUSTODY, "batch receipts", {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)}, partitions=1),
    Topic(DEAD_LETTERS, "records that were no frames", {"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)}),
)
