"""The Ray shell of a vision worker: builds the batch loop from a factory, reports, and ends with its lease."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec
import ray.util

from pipeline.actors.batch import StageSpan, Trace
from pipeline.actors.batch_loop import BatchLoop
from pipeline.actors.failure import describe, exit_code_of, recoverable
from pipeline.actors.lease import EXIT_WITHOUT_LEASE, LeaseWatch, end_within
from pipeline.actors.parcel import Parcels, Part
from pipeline.actors.report import Ledger
from pipeline.errors import ClusterError

State = Literal["starting", "running", "failed", "stopped"]

LEASE_DRAIN_SECONDS = 5.0
"""What a worker without a supervisor gives its batches in flight before it ends."""
SPANS_TOLD = 512
"""Stage spans in one reply; more would enter Ray's object store."""


@dataclass
class WorkerParts:
    """What a factory builds in the worker's process."""

    loop: BatchLoop
    ledger: Ledger
    trace: Trace
    metrics_port: int
    close: Callable[[], None]
    """Frees what the loop does not own: the outbox, the metrics server."""


class WorkerStatus(msgspec.Struct, frozen=True):
    """A worker as its supervisor sees it."""

    slot: int
    pid: int
    state: State
    failure: str
    """Empty unless state is failed."""
    failure_exit_code: int
    recoverable: bool
    """Whether a new process in the same slot may do better."""
    trouble: str
    """Why its latest transaction was rolled back; empty once one was committed."""
    metrics_port: int
    node: str
    """Address of the machine that it runs on, as the cluster knows it."""
    lag: dict[int, int]
    work: bytes
    """msgpack of `WorkReport`; empty while it starts, and in a `RunStatus`, which has the sum."""


class VisionWorker:
    """Consumes, sees, searches and commits in threads of its own, so that calls are answered at any time."""

    def __init__(self, slot: int, factory: Callable[[int], WorkerParts], lease_seconds: float) -> None:
        self._slot = slot
        self._parts: WorkerParts | None = None
        self._failure: BaseException | None = None
        self._state: State = "starting"
        self._stop_lock = threading.Lock()
        self._parcels = Parcels()
        self._lease = LeaseWatch(lease_seconds, self._end_without_lease)
        self._starter = threading.Thread(target=self._start, args=(factory,), name="start", daemon=True)
        self._starter.start()

    def status(self, since_second: int = 0) -> WorkerStatus:
        """What the worker does and has done; renews nothing."""
        parts = self._parts
        failure = self._failure or (parts.loop.failure if parts else None)
        if failure is not None and self._state != "stopped":
            self._state = "failed"
        return WorkerStatus(
            slot=self._slot,
            pid=os.getpid(),
            state=self._state,
            failure=describe(failure) if failure else "",
            failure_exit_code=exit_code_of(failure),
            recoverable=recoverable(failure),
            trouble=parts.loop.trouble if parts else "",
            metrics_port=parts.metrics_port if parts else 0,
            node=ray.util.get_node_ip_address(),  # type: ignore[no-untyped-call]  # Ray's gap
            lag=parts.loop.lag if parts else {},
            work=parts.ledger.snapshot(since_second) if parts else b"",
        )

    def report(self, since_second: int = 0) -> Part:
        """The status as msgpack, on its way through Ray."""
        return self._parcels.post(msgspec.msgpack.encode(self.status(since_second)))

    def fetch(self, reply: int, index: int) -> bytes:
        """A further part of what `report` or `stop` returned; empty if it is no longer kept."""
        return self._parcels.fetch(reply, index)

    def renew(self) -> None:
        """Renew the lease."""
        self._lease.renew()

    def trace(self) -> list[StageSpan]:
        """The latest stage spans."""
        return self._parts.trace.spans[-SPANS_TOLD:] if self._parts else []

    def stop(self, deadline_seconds: float) -> Part:
        """Drain within the deadline, leave the group, free everything; the last status, as `report` gives it.

        It is failed if the drain did not end in time.
        """
        self._lease.renew()
        with self._stop_lock:
            if self._state != "stopped":
                self._starter.join(deadline_seconds)
                if self._parts is not None:
                    self._drain(self._parts, deadline_seconds)
                failed = self._failure or (self._parts.loop.failure if self._parts else None)
                self._state = "failed" if failed else "stopped"
            self._lease.end()
            return self.report()

    def _drain(self, parts: WorkerParts, deadline_seconds: float) -> None:
        drained = parts.loop.stop(deadline_seconds)
        parts.close()
        if not drained and parts.loop.failure is None and self._failure is None:
            self._failure = ClusterError(
                f"worker slot {self._slot} did not finish what it held within {deadline_seconds:g} s; what is left is "
                f"consumed again by a successor (lifecycle.drain_seconds gives it longer)"
            )

    def _start(self, factory: Callable[[int], WorkerParts]) -> None:
        try:
            parts = factory(self._slot)
            parts.loop.start()
        except BaseException as error:  # noqa: BLE001  # reported by status(), which the supervisor reads
            self._failure = error
        else:
            self._parts = parts
            self._state = "running"

    def _end_without_lease(self) -> None:
        end_within(2 * LEASE_DRAIN_SECONDS)
        try:
            if self._parts is not None:
                self._parts.loop.stop(LEASE_DRAIN_SECONDS)
                self._parts.close()
        finally:
            os._exit(EXIT_WITHOUT_LEASE)
