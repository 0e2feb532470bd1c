"""The Ray shell of a watchlist shard's replica: tails the topic into a view, answers searches, ends with its lease."""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
import ray
import ray.util
from numpy.typing import NDArray

from pipeline.actors.failure import describe, exit_code_of, recoverable
from pipeline.actors.lease import EXIT_WITHOUT_LEASE, LeaseWatch, end_within
from pipeline.actors.parcel import Parcels, Part
from pipeline.actors.shard_reply import pack
from pipeline.actors.vision_worker import State
from pipeline.catalog.metrics import INDEX_SETTLED, WATCHLIST_ENTRIES, WATCHLIST_VERSION
from pipeline.core.replicas import Replica
from pipeline.errors import ShardUnavailable
from pipeline.ports import Shard, Telemetry
from pipeline.records import ConsumedRecord, Probes

POLL_SECONDS = 0.05
"""How long one look at the topic waits; expired entries are destroyed as often."""
STOP_SECONDS = 1.0
"""What a shard without a supervisor gives its tail to end."""


class Feed(Protocol):
    """The watchlist topic from its beginning; one thread uses it."""

    def poll(self, timeout: float) -> Sequence[ConsumedRecord]:
        """Records that are there, after waiting up to `timeout` seconds for a first one; raises BrokerError."""

    def ends(self) -> Mapping[int, int]:
        """The end of each partition at the moment."""

    def reached(self, ends: Mapping[int, int]) -> bool:
        """Whether everything before `ends` has been handed out."""


class View(Protocol):
    """What a shard makes of the topic; one thread changes it, searches go on meanwhile."""

    @property
    def version(self) -> int:
        """Offset of the last record applied."""

    @property
    def entries(self) -> int:
        """Number of entries that searches see."""

    @property
    def malformed(self) -> int:
        """Records that were no entry."""

    @property
    def settled(self) -> bool:
        """Whether nothing waits to be taken into what an index builds, or out of it."""

    def apply(self, records: Sequence[ConsumedRecord]) -> None:
        """Apply records in offset order, and overwrite their values, which hold templates."""

    def sweep(self, now_ns: int) -> int:
        """Destroy entries whose time is over at `now_ns`, and what was removed."""


@dataclass
class ShardParts:
    """What a factory builds in the shard's process."""

    shard: Shard
    feed: Feed
    view: View
    telemetry: Telemetry
    metrics_port: int
    close: Callable[[], None]
    """Frees the feed and the metrics server."""


class ShardStatus(msgspec.Struct, frozen=True):
    """A replica of a shard as its supervisor sees it."""

    shard: int
    replica: int
    name: str
    """What its actor is called."""
    pid: int
    state: State
    """starting until the end of the topic, as it was at the start, has been reached."""
    failure: str
    """Empty unless state is failed."""
    failure_exit_code: int
    recoverable: bool
    """Whether a new process may do better."""
    metrics_port: int
    node: str
    """Address of the machine that it runs on, as the cluster knows it."""
    node_id: str
    """The cluster's id of its node; a machine may be several."""
    entries: int
    version: int
    malformed: int
    """Records of this shard that were no entry; each took away what its key stood for."""
    settled: bool = True
    """Whether the index is built over the entries and holds no copy of a removed one."""
    end: int = 0
    """Where the topic ended when the shard began to read it; 0 until then."""

    @property
    def news(self) -> str:
        """What it does, and while it starts how far it has read the topic."""
        if self.state != "starting" or not self.end:
            return self.state
        return f"{self.state}, {min(self.version + 1, self.end):,} of {self.end:,} records read"


class WatchlistShard:
    """Builds and tails in a thread of its own, so that calls are answered at any time."""

    def __init__(self, replica: Replica, factory: Callable[[Replica], ShardParts], lease_seconds: float) -> None:
        self._replica = replica
        self._parts: ShardParts | None = None
        self._failure: BaseException | None = None
        self._serving = False
        self._end = 0
        self._stopping = threading.Event()
        self._parcels = Parcels()
        self._lease = LeaseWatch(lease_seconds, self._end_without_lease)
        self._tail = threading.Thread(target=self._run, args=(factory,), name="tail", daemon=True)
        self._tail.start()

    def status(self) -> ShardStatus:
        """What the shard does and holds; renews nothing."""
        parts, failure = self._parts, self._failure
        return ShardStatus(
            shard=self._replica.shard,
            replica=self._replica.number,
            name=self._replica.name,
            pid=os.getpid(),
            state=self._state(),
            failure=describe(failure) if failure else "",
            failure_exit_code=exit_code_of(failure),
            recoverable=recoverable(failure),
            metrics_port=parts.metrics_port if parts else 0,
            node=ray.util.get_node_ip_address(),  # type: ignore[no-untyped-call]  # Ray's gap
            node_id=ray.get_runtime_context().get_node_id(),
            entries=parts.view.entries if parts else 0,
            version=parts.view.version if parts else 0,
            malformed=parts.view.malformed if parts else 0,
            settled=parts.view.settled if parts else True,
            end=self._end,
        )

    def report(self, since_second: int = 0) -> Part:  # noqa: ARG002  # a supervisor asks workers and shards alike
        """The status as msgpack, on its way through Ray."""
        return self._parcels.post(msgspec.msgpack.encode(self.status()))

    def fetch(self, reply: int, index: int) -> bytes:
        """A further part of what `report` or `stop` returned; empty if it is no longer kept."""
        return self._parcels.fetch(reply, index)

    def renew(self) -> None:
        """Renew the lease."""
        self._lease.renew()

    def search(
        self, templates: NDArray[np.float32], capture_ns: NDArray[np.int64], k: int, at_least_version: int = 0
    ) -> bytes:
        """The answer to probes float32[N,d] captured at int64[N], as `pipeline.actors.shard_reply` packs it.

        Raises ShardUnavailable unless the shard has reached the end of the topic and still follows it.
        """
        parts = self._parts
        if parts is None or (state := self._state()) != "running":
            raise ShardUnavailable(f"{self._replica.name} is {'starting' if parts is None else state}")
        return pack(parts.shard.search(Probes(templates, capture_ns), k, at_least_version))

    def stop(self, deadline_seconds: float) -> Part:
        """End the tail and free everything within the deadline; the last status, as `report` gives it."""
        self._lease.renew()
        self._stopping.set()
        self._tail.join(deadline_seconds)
        self._lease.end()
        return self.report()

    def _state(self) -> State:
        if self._failure is not None:
            return "failed"
        if self._stopping.is_set():
            return "stopped"
        return "running" if self._serving else "starting"

    def _run(self, factory: Callable[[Replica], ShardParts]) -> None:
        try:
            parts = self._parts = factory(self._replica)
            try:
                self._follow(parts)
            finally:
                parts.close()
        except BaseException as error:  # noqa: BLE001  # reported by status(), which the supervisor reads
            self._failure = error

    def _follow(self, parts: ShardParts) -> None:
        shown, settled = (-1, -1), None
        labels = {"shard": str(self._replica.shard), "replica": str(self._replica.number)}
        ends = parts.feed.ends()
        self._end = sum(ends.values())
        while not self._stopping.is_set():
            parts.view.apply(parts.feed.poll(POLL_SECONDS))
            parts.view.sweep(time.time_ns())
            self._serving = self._serving or parts.feed.reached(ends)
            if shown != (parts.view.entries, parts.view.version):
                shown = (parts.view.entries, parts.view.version)
                parts.telemetry.set(WATCHLIST_ENTRIES, shown[0], **labels)
                parts.telemetry.set(WATCHLIST_VERSION, shown[1], **labels)
            if settled is not parts.view.settled:
                settled = parts.view.settled
                parts.telemetry.set(INDEX_SETTLED, float(settled), **labels)

    def _end_without_lease(self) -> None:
        end_within(2 * STOP_SECONDS)
        try:
            self._stopping.set()
            self._tail.join(STOP_SECONDS)
        finally:
            os._exit(EXIT_WITHOUT_LEASE)
