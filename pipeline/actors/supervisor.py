"""The supervisor of a run: starts, watches and replaces its workers and shards, and ends with its command's lease."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError

from pipeline.actors.child import Child
from pipeline.actors.lease import LeaseWatch, end_within
from pipeline.actors.report import SECONDS_KEPT, WorkReport, merge_reports
from pipeline.actors.vision_worker import VisionWorker, WorkerParts, WorkerStatus
from pipeline.actors.watchlist_shard import ShardStatus, WatchlistShard
from pipeline.errors import BrokerError, ClusterError

_log = logging.getLogger(__name__)

SUPERVISOR = "supervisor"
TEND_SECONDS = 0.25
FAILURES_BEFORE_GIVING_UP = 4
LAST_WORDS_SECONDS = 5.0
"""What a worker may take beyond its drain to say what it did."""
ORPHAN_DRAIN_SECONDS = 2.0
"""What a supervisor without a command gives its workers to drain."""


@dataclass(frozen=True)
class RunPlan:
    """What a supervisor keeps alive; picklable, since Ray rebuilds a supervisor from it."""

    run: str
    workers: int
    shards: int
    make_worker: Callable[[int], WorkerParts]
    make_shard: Callable[[int], Any]
    lease_seconds: float
    heartbeat: Callable[[], None]
    """Keeps the watchlist topic compacting; called every `heartbeat_seconds`."""
    heartbeat_seconds: float
    worker_options: dict[str, Any]
    """Ray resources of a worker, such as num_gpus."""


class RunStatus(msgspec.Struct, frozen=True):
    """A run as its command sees it."""

    pid: int
    workers: list[WorkerStatus]
    shards: list[ShardStatus]
    awaited: int
    """Processes that have not answered yet; the lists are of those that have."""
    replaced: int
    """Processes replaced so far."""
    failure: str
    """Empty unless the run cannot go on."""
    failure_exit_code: int
    work: bytes
    """msgpack of the merged `WorkReport`."""

    @property
    def ready(self) -> bool:
        """Whether every worker consumes and every shard serves."""
        return (
            not self.awaited
            and all(worker.state == "running" for worker in self.workers)
            and all(shard.state == "running" for shard in self.shards)
        )


class Supervisor:
    """Tends its children in a thread of its own; a restarted one adopts them by name."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._failure = ""
        self._failure_exit_code = 1
        self._work: dict[tuple[int, int], WorkReport] = {}
        self._shards: list[Child[ShardStatus]] = [
            Child(f"shard-{index}", self._creator(WatchlistShard, f"shard-{index}", index, plan.make_shard, {}))
            for index in range(plan.shards)
        ]
        self._workers: list[Child[WorkerStatus]] = [
            Child(
                f"worker-{slot}",
                self._creator(VisionWorker, f"worker-{slot}", slot, plan.make_worker, plan.worker_options),
            )
            for slot in range(plan.workers)
        ]
        self._children: tuple[Child[Any], ...] = (*self._shards, *self._workers)
        self._lease = LeaseWatch(plan.lease_seconds, self._end_without_lease)
        threading.Thread(target=self._tend, name="tend", daemon=True).start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def renew(self) -> None:
        """Renew the lease."""
        self._lease.renew()

    def status(self, since_second: int = 0) -> RunStatus:
        """The run's processes and their merged work."""
        with self._lock:
            work = merge_reports(list(self._work.values()))
            recent = {second: report for second, report in work.seconds.items() if second >= since_second}
            return RunStatus(
                pid=os.getpid(),
                workers=[child.status for child in self._workers if child.status is not None],
                shards=[child.status for child in self._shards if child.status is not None],
                awaited=sum(child.status is None for child in self._children),
                replaced=sum(child.deaths for child in self._children),
                failure=self._failure,
                failure_exit_code=self._failure_exit_code,
                work=msgspec.msgpack.encode(msgspec.structs.replace(work, seconds=recent)),
            )

    def stop(self, deadline_seconds: float) -> RunStatus:
        """Drain the workers, then end the shards; the final status."""
        self._stopping.set()
        with self._lock:
            asked = [(child, child.ask("stop", deadline_seconds)) for child in self._workers]
            deadline = time.monotonic() + deadline_seconds + LAST_WORDS_SECONDS
            self._keep_alive([reference for _, reference in asked if reference is not None], deadline)
            for child, reference in asked:
                if reference is not None:
                    self._last_words(child, reference, deadline)
            for shard in self._shards:
                shard.kill()
            for worker in self._workers:
                worker.kill()
        return self.status(int(time.time()) - 30)

    def _keep_alive(self, drains: list[Any], deadline: float) -> None:
        """Renew the leases while the workers drain, since nobody tends any more: a drain may last longer than they."""
        while drains and time.monotonic() < deadline:
            for child in self._children:
                child.ask("renew")
            _, drains = ray.wait(drains, num_returns=len(drains), timeout=1.0)

    def _last_words(self, child: "Child[WorkerStatus]", reference: Any, deadline: float) -> None:
        try:
            child.status = ray.get(reference, timeout=max(0.1, deadline - time.monotonic()))
        except RayError as error:
            if not self._failure:
                self._failure = f"{child.name} did not end in time: {error}".splitlines()[0]
                self._failure_exit_code = ClusterError.exit_code
        self._take_in(child)
        self._judge(child)

    def _creator(
        self, actor: type, name: str, number: int, factory: Callable[[int], Any], options: dict[str, Any]
    ) -> Callable[[], Any]:
        plan = self._plan

        def create() -> Any:
            return (
                ray.remote(actor)
                .options(
                    name=name,
                    namespace=plan.run,
                    lifetime="detached",
                    get_if_exists=True,
                    max_restarts=0,
                    max_concurrency=8,
                    **({"num_cpus": 0} | options),
                )
                .remote(number, factory, plan.lease_seconds)
            )

        return create

    def _tend(self) -> None:
        while not self._stopping.wait(TEND_SECONDS):
            with self._lock:
                if self._stopping.is_set():
                    return
                for child in self._children:
                    child.tend(time.monotonic())
                    self._judge(child)
                for worker in self._workers:
                    self._take_in(worker)

    def _judge(self, child: "Child[Any]") -> None:
        status = child.status
        if self._failure:
            return
        if child.stillborn >= FAILURES_BEFORE_GIVING_UP:
            self._failure = f"{child.name} does not start: {child.last_error}"
            self._failure_exit_code = ClusterError.exit_code
        if status is None or status.state != "failed":
            return
        if not status.recoverable or child.failures >= FAILURES_BEFORE_GIVING_UP:
            self._failure = f"{child.name}: {status.failure}"
            self._failure_exit_code = getattr(status, "failure_exit_code", 1)

    def _take_in(self, child: "Child[WorkerStatus]") -> None:
        """Keep the newest totals of each worker process, also after its death."""
        status = child.status
        if status is None or not status.work:
            return
        work = msgspec.msgpack.decode(status.work, type=WorkReport)
        known = self._work.get((status.slot, status.pid))
        if known is not None:
            oldest = int(time.time()) - SECONDS_KEPT
            earlier = {second: report for second, report in known.seconds.items() if second >= oldest}
            work.seconds = earlier | work.seconds
        self._work[(status.slot, status.pid)] = work

    def _beat(self) -> None:
        while not self._stopping.wait(self._plan.heartbeat_seconds):
            try:
                self._plan.heartbeat()
            except BrokerError as error:
                # the watchlist stays readable without it; compaction only waits until the broker is back
                _log.warning("no heartbeat on the watchlist: %s", error)

    def _end_without_lease(self) -> None:
        """The command is gone: let the workers drain, end everything, and this process last."""
        end_within(2 * ORPHAN_DRAIN_SECONDS + LAST_WORDS_SECONDS)
        try:
            self.stop(ORPHAN_DRAIN_SECONDS)
        finally:
            # Ray would start an actor anew whose process merely ended
            ray.kill(ray.get_actor(SUPERVISOR, namespace=self._plan.run), no_restart=True)
