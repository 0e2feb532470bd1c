"""What the pipeline needs of the world, as protocols; adapters implement them and fakes in ``pipeline.testing`` too."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog.metrics import Metric
from pipeline.records import (
    Batch,
    Detections,
    OutgoingRecord,
    Probes,
    SearchResult,
    ShardReply,
)


class Clock(Protocol):
    """Time, passed in so that decisions can be tested."""

    def now_ns(self) -> int:
        """Wall-clock time in nanoseconds since the Unix epoch."""

    def monotonic(self) -> float:
        """Seconds of a clock that never steps, from an arbitrary zero."""


class FrameSource(Protocol):
    """A member of the consumer group on ``frames``; every call comes from one thread, the one that made it."""

    def poll(self, timeout: float, limit: int | None = None) -> Batch | None:
        """Wait up to `timeout` seconds for a first record, linger briefly for more, and return what is there.

        At most `limit` records, by default as many as a batch has; of each partition the next, across partitions the
        oldest. Returns None if nothing came, and whenever the assignment changed meanwhile. Runs the assignment
        callbacks given at construction: `assigned` with the new partitions and their committed offsets, `revoked`
        before partitions are given up (it may block until the transaction in flight has ended), `lost` when they are
        gone already. Raises BrokerError on a fatal error and CustodyError on a gap that retention does not explain.
        """

    def rewind(self) -> Mapping[int, int]:
        """Seek every assigned partition to its committed offset; returns them. Later batches have a new assignment."""

    @property
    def assignment(self) -> int:
        """Counts assignments, revocations and rewinds; a batch of an earlier number must not be committed.

        May be read from any thread.
        """

    def lag(self) -> Mapping[int, int]:
        """Records between this member's position and the end of each assigned partition, as last reported."""

    def pause(self) -> None:
        """Stop fetching, while staying a member of the group: poll() goes on being called.

        No record that was fetched already and not given stays in memory, however long it takes.
        """

    def resume(self) -> None:
        """Fetch again after pause(), from the record after the last that was given."""

    def close(self) -> None:
        """Leave the group. Not called after a crash: the broker's session time-out does it then."""


Assigned = Callable[[Mapping[int, int]], None]
"""Called with the new partitions and the offset each will be read from (the committed one, or the log's start)."""
Revoked = Callable[[Sequence[int]], None]
"""Called with partitions that are being given up, or are lost."""


class Outbox(Protocol):
    """The transactional producer of one worker slot; one transaction is open at a time."""

    def commit(self, records: Sequence[OutgoingRecord], offsets: Mapping[int, int], membership: Any) -> None:
        """Produce `records` and commit the `frames` offsets (next offset per partition) in one transaction.

        Blocks until the broker has answered. `membership` is the batch's own copy, read when it was consumed. Raises
        TransactionAborted when it was rolled back (nothing of it will be seen by read_committed readers), Fenced when
        a successor holds the transactional id, BrokerError when the producer can't go on.
        """

    def close(self) -> None:
        """Abort what is open and free the producer."""


class AlertHistory(Protocol):
    """The alerts already made, which are the log of the cool-down state."""

    def recent(self, partitions: Sequence[int], since_ns: int) -> Sequence[tuple[str, str, int]]:
        """(camera, entry, cooldown_ns) of the alerts in `partitions` appended since `since_ns`.

        Reads up to the end of each partition *including* transactions that are open at the moment of the call, and
        waits for those to end, so that a predecessor's alert is never overlooked. A record that is no alert is skipped.
        """


class Detector(Protocol):
    """Finds faces."""

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Detections per image; `images` are BGR uint8[H,W,3], of any mix of sizes."""


class Embedder(Protocol):
    """Turns aligned faces into templates."""

    @property
    def dimension(self) -> int:
        """d, the number of components of a template."""

    @property
    def version(self) -> str:
        """Identifies the weights; templates of different versions do not compare."""

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Templates float32[N,d], L2-normalised, of aligned BGR crops uint8[N,112,112,3]."""


class Shard(Protocol):
    """A searchable share of the watchlist."""

    def search(self, probes: Probes, k: int, at_least_version: int = 0) -> ShardReply:
        """The `k` best candidates of each probe among entries that had not expired when it was captured.

        Catches up to `at_least_version` first if it can do so at once.
        """


class Gallery(Protocol):
    """All shards of the watchlist, seen from a worker."""

    def search(self, probes: Probes, k: int) -> SearchResult:
        """The `k` best candidates of each probe over all shards that answered; raises ShardUnavailable by policy.

        Without a probe nothing is searched, and the result's versions and fraction are those of the latest search.
        """


class Telemetry(Protocol):
    """Where a process reports what it measures; metrics are those of the catalogue."""

    def count(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Add one observation to a histogram."""

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Set a gauge."""


Decode = Callable[[bytes], NDArray[np.uint8]]
"""JPEG bytes to a BGR picture uint8[H,W,3]; raises FrameError. Called in threads, so it should release the lock."""
Align = Callable[[NDArray[np.uint8], NDArray[np.float32]], NDArray[np.uint8]]
"""A BGR picture and landmarks float32[N,5,2] to aligned crops uint8[N,112,112,3]."""
