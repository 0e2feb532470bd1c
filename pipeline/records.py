"""Frozen records that travel between the parts of the pipeline.

Times named ``*_ns`` are integer nanoseconds since the Unix epoch (UTC). Boxes and landmarks are in pixels of the image
they came from, x to the right and y down, the origin at the outer corner of the top left pixel.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.catalog.outcomes import Outcome


class Frame(msgspec.Struct, frozen=True):
    """One picture as a camera publishes it to ``frames``; the camera id is the record's key."""

    camera: str
    """Camera id; the part before the first ``/`` is its district."""
    camera_run: str
    """Name of the producer's life from start to end; sequences start at 0 in each."""
    sequence: int
    """Number of the intended capture instant in the camera run, from 0."""
    capture_ns: int
    """Intended capture instant."""
    jpeg: bytes
    epoch: int = 0
    """Sealing epoch; 0 while sealing is off."""


class ConsumedRecord(msgspec.Struct, frozen=True):
    """One raw record of ``frames`` as the broker delivered it, not yet known to be a frame."""

    partition: int
    offset: int
    append_ns: int
    """The broker's append time (LogAppendTime, millisecond resolution)."""
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class OffsetRange(msgspec.Struct, frozen=True):
    """Offsets ``first`` (inclusive) to ``end`` (exclusive) of one partition of ``frames``."""

    partition: int
    first: int
    end: int


class Batch(msgspec.Struct, frozen=True):
    """What one poll of the frame source gave: records in offset order per partition, and expired gaps."""

    records: tuple[ConsumedRecord, ...]
    expired: tuple[OffsetRange, ...]
    """Gaps below the log start offset at the moment they were met."""
    membership: Any
    """The consumer-group metadata read when the batch was consumed; opaque, it goes back to the outbox as it is."""
    assignment: int
    """Counts the source's assignments and rewinds; a batch of an earlier number than the current one is stale."""
    consumed_ns: int
    """When the poll returned."""


class Detections(msgspec.Struct, frozen=True):
    """Faces found in one image: boxes float32[N,4] (x0, y0, x1, y1), landmarks float32[N,5,2] (left eye, right eye,
    nose, left mouth corner, right mouth corner, as seen in the image), scores float32[N] in 0..1, best first."""

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]


class Probes(msgspec.Struct, frozen=True):
    """Faces to be searched: templates float32[N,d], L2-normalised; capture_ns int64[N]; never a pixel."""

    templates: NDArray[np.float32]
    capture_ns: NDArray[np.int64]


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """One entry of the gallery that a probe resembles; thousands at once, and none can be part of a cycle."""

    entry: str
    score: float
    """Cosine similarity, -1..1."""
    version: int
    """Watchlist version (offset of the ``watchlist`` topic) of the shard's snapshot that found it."""
    reference: str = ""
    """The entry's opaque reference, for the alert."""


class ShardReply(msgspec.Struct, frozen=True):
    """A shard's answer: for each probe its best candidates by falling score, equal scores by entry id."""

    shard: int
    version: int
    entries: int
    """Number of entries in the snapshot searched."""
    candidates: tuple[tuple[Candidate, ...], ...]


class SearchResult(msgspec.Struct, frozen=True):
    """The merged answer of all shards that replied."""

    candidates: tuple[tuple[Candidate, ...], ...]
    version_lowest: int
    version_greatest: int
    fraction_searched: float
    """Shards that answered ÷ shards of the run, 0..1."""


class WatchlistEntry(msgspec.Struct, frozen=True):
    """One person sought: template float32[d], L2-normalised; ``reference`` is opaque to Lamppost."""

    entry: str
    template: NDArray[np.float32]
    reference: str = ""
    list_id: str = "default"
    expires_ns: int | None = None
    """The entry may match frames captured before this instant; None: no end."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A face over the threshold on the first frame of a pass; scores, ids and times, never a picture or a template."""

    id: str
    camera: str
    camera_run: str
    sequence: int
    entry: str
    reference: str = ""
    score: float
    threshold: float
    capture_ns: int
    """The frame's intended capture instant as the camera stated it."""
    cooldown_ns: int
    """The instant the cool-down counts from: the capture time, or the append time of a clock-untrusted camera."""
    append_ns: int
    decided_ns: int
    box: tuple[float, float, float, float]
    frame_partition: int
    frame_offset: int
    watchlist_version: int
    embedder_version: str
    fraction_searched: float = 1.0
    run: str
    slot: int


class DeadLetter(msgspec.Struct, frozen=True):
    """Where a record that is no frame lay and why it was refused; never its payload."""

    topic: str
    partition: int
    offset: int
    reason: str
    size: int
    """Bytes of the refused value."""
    camera: str | None
    append_ns: int


class OutcomeRange(msgspec.Struct, frozen=True):
    """Neighbouring offsets ``first`` (inclusive) to ``end`` (exclusive) that ended in the same outcome."""

    partition: int
    first: int
    end: int
    outcome: Outcome


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of every offset of one batch; committed in the same transaction as its alerts and offsets."""

    run: str
    slot: int
    batch: int
    """Number of the batch in this worker's life, from 0."""
    decided_ns: int
    ranges: tuple[OutcomeRange, ...]
    alerts: int
    watchlist_version_lowest: int
    """With the two below what was searched; of a batch without a face, what the worker's latest search met."""
    watchlist_version_greatest: int
    fraction_searched: float
    shed_by_camera: Mapping[str, int] = {}


class OutgoingRecord(msgspec.Struct, frozen=True):
    """A record to be produced inside a transaction; ``partition`` None leaves the choice to the producer."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
