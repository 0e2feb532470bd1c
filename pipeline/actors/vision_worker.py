"""The Ray shell of a vision worker: builds the batch loop from a factory, reports, and ends with its lease."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec
import ray.util

from pipeline.actors.batch import StageSpan, Trace
from pipeline.actors.batch_loop import BatchLoop, describe
from pipeline.actors.lease import EXIT_WITHOUT_LEASE, LeaseWatch, end_within
from pipeline.actors.report import Ledger
from pipeline.errors import LamppostError

State = Literal["starting", "running", "failed", "stopped"]

LEASE_DRAIN_SECONDS = 5.0
"""What a worker without a supervisor gives its batches in flight before it ends."""


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
    metrics_port: int
    node: str
    """Address of the machine that it runs on, as the cluster knows it."""
    lag: dict[int, int]
    work: bytes
    """msgpack of `WorkReport`."""


class VisionWorker:
    """Consumes, sees, searches and commits in threads of its own, so that calls are answered at any time."""

    def __init__(self, slot: int, factory: Callable[[int], WorkerParts], lease_seconds: float) -> None:
        self._slot = slot
        self._parts: WorkerParts | None = None
        self._failure: BaseException | None = None
        self._state: State = "starting"
        self._stop_lock = threading.Lock()
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
            failure_exit_code=failure.exit_code if isinstance(failure, LamppostError) else 1,
            recoverable=_recoverable(failure),
            metrics_port=parts.metrics_port if parts else 0,
            node=ray.util.get_node_ip_address(),  # type: ignore[no-untyped-call]  # Ray's gap
            lag=parts.loop.lag if parts else {},
            work=parts.ledger.snapshot(since_second) if parts else b"",
        )

    def renew(self) -> None:
        """Renew the lease."""
        self._lease.renew()

    def trace(self) -> list[StageSpan]:
        """The latest stage spans."""
        return list(self._parts.trace.spans) if self._parts else []

    def stop(self, deadline_seconds: float) -> WorkerStatus:
        """Drain within the deadline, leave the group, free everything; the last status."""
        self._lease.renew()
        with self._stop_lock:
            if self._state != "stopped":
                self._starter.join(deadline_seconds)
                if self._parts is not None:
                    self._parts.loop.stop(deadline_seconds)
                    self._parts.close()
                failed = self._failure or (self._parts.loop.failure if self._parts else None)
                self._state = "failed" if failed else "stopped"
            self._lease.end()
            return self.status()

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


def _recoverable(failure: BaseException | None) -> bool:
    """A broker or cluster error may pass; wrong settings, weights or unaccounted frames will not."""
    return not isinstance(failure, LamppostError) or failure.exit_code in {1, 4, 5}
