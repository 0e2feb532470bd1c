"""The supervisor of a run: starts, watches and replaces its workers and shards, and ends with its command's lease."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError

from pipeline.actors.child import Child, names_there
from pipeline.actors.elastic import Elasticity, standing_workers
from pipeline.actors.failure import describe, exit_code_of
from pipeline.actors.lease import LeaseWatch, end_within
from pipeline.actors.parcel import Parcels, Part
from pipeline.actors.placement import Placement
from pipeline.actors.pool import LAST_WORDS_SECONDS, Pool
from pipeline.actors.run_plan import RunPlan, RunStatus
from pipeline.actors.totals import Totals
from pipeline.actors.vision_worker import VisionWorker, WorkerStatus
from pipeline.actors.watchlist_shard import ShardStatus, WatchlistShard
from pipeline.core.replicas import Replica, replicas_of
from pipeline.errors import BrokerError, ClusterError, CustodyError

_log = logging.getLogger(__name__)

SUPERVISOR = "supervisor"
TEND_SECONDS = 0.25
FAILURES_BEFORE_GIVING_UP = 4
ORPHAN_DRAIN_SECONDS = 2.0
"""What a supervisor without a command gives its workers to drain."""


class Supervisor:
    """Tends its children in a thread of its own; a restarted one adopts them by name."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._failure = ""
        self._failure_exit_code = 1
        self._parcels = Parcels()
        self._totals = Totals()
        self._placement = Placement(plan.replicas)
        shards = {
            replica: Child(
                replica.name,
                self._creator(
                    WatchlistShard, replica.name, replica, plan.make_shard, partial(self._shard_options, replica)
                ),
                msgspec.msgpack.Decoder(ShardStatus).decode,
            )
            for shard in range(plan.shards)
            for replica in replicas_of(shard, plan.replicas)
        }
        self._replicas = list(shards)
        self._shards: list[Child[ShardStatus]] = list(shards.values())
        self._siblings = {replica.name: [shards[each] for each in replica.siblings] for replica in shards}
        """By the name of a replica the others of its shard."""
        elastic = plan.elastic
        workers = plan.workers if elastic is None else standing_workers(plan.run, elastic.scaling)
        self._pool = Pool(self._worker, workers)
        self._inherited = names_there(plan.run, self._children)
        """Processes that a predecessor has left and that may be at work, though nobody has heard of them yet."""
        watched = (self._pool, self._totals, self._lock, lambda: not self._inherited)
        self._elasticity = None if elastic is None else Elasticity(elastic, *watched)
        self._lease = LeaseWatch(plan.lease_seconds, self._end_without_lease)
        threads: dict[str, Callable[[], None]] = {"tend": self._tend, "heartbeat": self._beat}
        if self._elasticity is not None:
            threads["scaling"] = partial(self._elasticity.run, self._stopping)
        for name, work in threads.items():
            threading.Thread(target=self._guarded, args=(name, work), name=name, daemon=True).start()

    @property
    def _children(self) -> tuple[Child[Any], ...]:
        return (*self._shards, *self._pool.workers)

    @property
    def _ever(self) -> tuple[Child[Any], ...]:
        """With the slots that are not used at the moment."""
        return (*self._shards, *self._pool.slots)

    def renew(self) -> None:
        """Renew the lease."""
        self._lease.renew()

    def status(self, since_second: int = 0) -> RunStatus:
        """The run's processes and their merged work."""
        with self._lock:
            return RunStatus(
                pid=os.getpid(),
                workers=[
                    msgspec.structs.replace(child.status, work=b"")
                    for child in self._pool.workers
                    if child.status is not None
                ],
                shards=[child.status for child in self._shards if child.status is not None],
                awaited=sum(child.status is None for child in self._children),
                replaced=sum(child.deaths for child in self._ever),
                last_replaced=self._last_replaced(),
                failure=self._failure,
                failure_exit_code=self._failure_exit_code,
                work=self._totals.summed(since_second),
                pool=None if self._elasticity is None else self._elasticity.status(),
            )

    def _last_replaced(self) -> str:
        dead = [child for child in self._ever if child.deaths]
        latest = max(dead, key=lambda child: child.last_death, default=None)
        return "" if latest is None else f"{latest.name}: {latest.last_error}"

    def report(self, since_second: int = 0) -> Part:
        """The status as msgpack, on its way through Ray."""
        return self._parcels.post(msgspec.msgpack.encode(self.status(since_second)))

    def fetch(self, reply: int, index: int) -> bytes:
        """A further part of what `report` or `stop` returned; empty if it is no longer kept."""
        return self._parcels.fetch(reply, index)

    def stop(self, deadline_seconds: float) -> Part:
        """Drain the workers, then end the shards; the final status, as `report` gives it.

        A worker whose last word is that it failed, or that says nothing, is the run's failure.
        """
        self._stopping.set()
        with self._lock:
            workers = [*self._pool.workers, *self._pool.leaving]
            self._adopt((*workers, *self._shards))
            for worker in workers:
                if not worker.has_answered and worker.name not in self._inherited:
                    worker.kill()  # it holds no frames yet, and where Ray has no room for it, it never answers
            asked = [(child, child.ask("stop", deadline_seconds)) for child in workers]
            deadline = time.monotonic() + deadline_seconds + LAST_WORDS_SECONDS
            self._keep_alive([reference for _, reference in asked if reference is not None], deadline)
            for child, reference in asked:
                if reference is not None:
                    self._last_words(child, reference, deadline)
            for shard in self._shards:
                shard.kill()
            for worker in workers:
                worker.kill()
        return self.report(int(time.time()) - 30)

    def _adopt(self, children: Iterable[Child[Any]]) -> None:
        """Take over what a predecessor has left and nobody has heard yet: it may hold frames, or serve who does."""
        for child in children:
            if child.name in self._inherited:
                child.adopt(self._plan.run)

    def _keep_alive(self, drains: list[Any], deadline: float) -> None:
        """Renew the leases while the workers drain, since nobody tends any more: a drain may last longer than they."""
        while drains and time.monotonic() < deadline:
            for child in (*self._children, *self._pool.leaving):
                child.ask("renew")
            _, drains = ray.wait(drains, num_returns=len(drains), timeout=1.0)

    def _last_words(self, child: "Child[WorkerStatus]", reference: Any, deadline: float) -> None:
        try:
            child.hear(reference, max(0.1, deadline - time.monotonic()))
        except (RayError, ClusterError) as error:
            self._fail(f"{child.name} did not end in time: {error}".splitlines()[0], ClusterError.exit_code)
        self._totals.take_in(child.status)
        if child.status is not None and child.status.state == "failed" and not self._is_let_off(child):
            self._fail(f"{child.name}: {child.status.failure}", child.status.failure_exit_code)

    def _worker(self, slot: int) -> "Child[WorkerStatus]":
        name, plan = f"worker-{slot}", self._plan
        create = self._creator(VisionWorker, name, slot, plan.make_worker, lambda: plan.worker_options)
        return Child(name, create, msgspec.msgpack.Decoder(WorkerStatus).decode)

    def _creator(
        self,
        actor: type,
        name: str,
        which: object,
        factory: Callable[[Any], Any],
        options: Callable[[], dict[str, Any]],
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
                    **({"num_cpus": 0} | options()),
                )
                .remote(which, factory, plan.lease_seconds)
            )

        return create

    def _shard_options(self, replica: Replica) -> dict[str, Any]:
        return self._plan.shard_options | self._placement.options(replica)

    def _tend(self) -> None:
        self._placement.look_up(self._plan.run, self._replicas)
        while not self._stopping.wait(TEND_SECONDS):
            with self._lock:
                if self._stopping.is_set():
                    return
                for child in self._children:
                    child.tend(time.monotonic())
                    self._judge(child)
                for worker in self._pool.workers:
                    self._totals.take_in(worker.status)
                for shard in self._shards:
                    self._placement.take_in(shard.status)
                self._part_from_leavers()
                self._inherited -= {each.name for each in self._ever if each.has_answered or each.deaths}

    def _part_from_leavers(self) -> None:
        """What a worker held that did not leave as it should is read again, unless no other could do better."""
        for worker, trouble in self._pool.tend(time.monotonic()):
            self._totals.take_in(worker.status)
            self._judge(worker)
            if trouble and self._elasticity is not None:
                self._elasticity.note_parting(f"{worker.name} left: {trouble}")

    def _judge(self, child: "Child[Any]") -> None:
        status = child.status
        if status is not None and status.state == "failed" and _is_hopeless(child) and not self._is_let_off(child):
            self._fail(f"{child.name}: {status.failure}", status.failure_exit_code)
        if child.stillborn >= FAILURES_BEFORE_GIVING_UP and not self._is_spare(child):
            self._fail(f"{child.name} does not start: {child.last_error}", ClusterError.exit_code)

    def _is_spare(self, child: "Child[Any]") -> bool:
        """Whether the run can do without this process: a worker beyond the least, or a replica whose sibling serves.

        A sibling that is on its way counts as well, unless it does no better.
        """
        if self._elasticity is not None and self._elasticity.spares(child):
            return True
        return any(_serves(each) or not _is_hopeless(each) for each in self._siblings.get(child.name, ()))

    def _is_let_off(self, child: "Child[Any]") -> bool:
        """Whether the run goes on although this process failed: it can do without, and a worker was never up.

        Not if frames are unaccounted for or it was fenced: then all the run is in trouble.
        """
        status = child.status
        was_at_work = child.was_up and child.name not in self._siblings
        if status is None or was_at_work or not self._is_spare(child):
            return False
        is_the_runs = status.failure_exit_code in (BrokerError.exit_code, CustodyError.exit_code)
        return bool(status.recoverable or not is_the_runs)

    def _fail(self, why: str, exit_code: int) -> None:
        """Keep the first reason why the run cannot go on."""
        if not self._failure:
            self._failure, self._failure_exit_code = why, exit_code

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        """A thread that ends by an error of its own is the run's failure: nobody would do its work any more."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # kept for the command, which reads the status
            with self._lock:
                self._fail(f"{name} of run {self._plan.run}: {describe(error)}", exit_code_of(error))

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


def _serves(child: Child[Any]) -> bool:
    return child.was_up and child.status is not None and child.status.state == "running"


def _is_hopeless(child: Child[Any]) -> bool:
    """Whether another process in its place is not expected to do better."""
    status = child.status
    if status is not None and status.state == "failed" and not status.recoverable:
        return True
    return max(child.failures, child.stillborn) >= FAILURES_BEFORE_GIVING_UP
