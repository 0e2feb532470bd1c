"""Every metric that Lamppost exports: name, kind, help, labels, buckets. Units are the base units of Prometheus."""

from enum import StrEnum
from typing import Final

import msgspec


class Kind(StrEnum):
    """Prometheus metric type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True):
    """One metric family; counters are named without the ``_total`` that the client adds."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


UNKNOWN_PLACE: Final = "unknown"
"""The place of records that have no camera to trust."""
OTHER_PLACES: Final = "other"
"""The place of cameras without a district of their own, where there are too many to name each."""

STAGE_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LATENCY_BUCKETS: Final = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0)
BATCH_BUCKETS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0)

STAGE_SECONDS: Final = Metric(
    "lamppost_stage_seconds",
    Kind.HISTOGRAM,
    "Time one batch spent in a stage: consume, decode, detect, embed, search, commit.",
    ("stage",),
    STAGE_BUCKETS,
)
GLASS_TO_ALERT_SECONDS: Final = Metric(
    "lamppost_glass_to_alert_seconds",
    Kind.HISTOGRAM,
    "Intended capture instant to the commit that accounts for the frame; alerting frames apart.",
    ("alerting",),
    LATENCY_BUCKETS,
)
QUEUE_AGE_SECONDS: Final = Metric(
    "lamppost_queue_age_seconds", Kind.HISTOGRAM, "Append to consume, per frame.", (), LATENCY_BUCKETS
)
BATCH_FRAMES: Final = Metric("lamppost_batch_frames", Kind.HISTOGRAM, "Records per batch.", (), BATCH_BUCKETS)
BATCH_FACES: Final = Metric("lamppost_batch_faces", Kind.HISTOGRAM, "Faces per batch.", (), BATCH_BUCKETS)
FRAMES: Final = Metric(
    "lamppost_frames", Kind.COUNTER, "Frames by outcome and by camera, or by district above the limit.",
    ("outcome", "place"),
)  # fmt: skip
FACES: Final = Metric("lamppost_faces", Kind.COUNTER, "Faces searched.", ("place",))
ALERTS: Final = Metric("lamppost_alerts", Kind.COUNTER, "Alerts committed.", ("place",))
LAG: Final = Metric("lamppost_lag_frames", Kind.GAUGE, "Frames between position and end of partition.", ("partition",))
WATCHLIST_ENTRIES: Final = Metric(
    "lamppost_watchlist_entries", Kind.GAUGE, "Entries in a replica of a shard.", ("shard", "replica")
)
WATCHLIST_VERSION: Final = Metric(
    "lamppost_watchlist_version", Kind.GAUGE, "Offset of the watchlist topic that a replica of a shard has applied.",
    ("shard", "replica"),
)  # fmt: skip
INDEX_SETTLED: Final = Metric(
    "lamppost_index_settled", Kind.GAUGE,
    "1 if a replica of a shard has built its index over its entries, and holds no copy of a removed one; else 0.",
    ("shard", "replica"),
)  # fmt: skip
CLOCK_UNTRUSTED: Final = Metric(
    "lamppost_clock_untrusted_cameras", Kind.GAUGE, "Cameras whose capture time departs from append time."
)
TRANSACTIONS_ABORTED: Final = Metric(
    "lamppost_transactions_aborted", Kind.COUNTER, "Transactions rolled back; their batches are consumed again."
)
FRACTION_SEARCHED: Final = Metric(
    "lamppost_fraction_searched", Kind.GAUGE, "Share of the watchlist's shards that answered the last search."
)
SEARCHES_HEDGED: Final = Metric(
    "lamppost_searches_hedged", Kind.COUNTER,
    "Searches of a shard that one more replica was asked, since one was late.", ("shard",),
)  # fmt: skip
SEARCHES_FAILED_OVER: Final = Metric(
    "lamppost_searches_failed_over", Kind.COUNTER,
    "Searches of a shard that another replica was asked, since one failed.", ("shard",),
)  # fmt: skip
POOL_WORKERS: Final = Metric(
    "lamppost_pool_workers", Kind.GAUGE, "Workers of an elastic pool: wanted, running.", ("state",)
)
POOL_CHANGES: Final = Metric(
    "lamppost_pool_changes", Kind.COUNTER, "Changes of an elastic pool's size by direction: up, down.", ("direction",)
)
POOL_LAG: Final = Metric(
    "lamppost_pool_lag_frames", Kind.GAUGE, "Frames between committed offsets and ends of the log, all partitions."
)
CAMERA_FRAMES: Final = Metric(
    "lamppost_camera_frames", Kind.COUNTER,
    "Frames by what the producer did: intended, sent, failed, and of the failed those too_large.",
    ("state", "place"),
)  # fmt: skip
CAMERA_LATENESS_SECONDS: Final = Metric(
    "lamppost_camera_lateness_seconds", Kind.HISTOGRAM, "Intended capture instant to the hand-over to Kafka.", (),
    STAGE_BUCKETS,
)  # fmt: skip

ALL: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
