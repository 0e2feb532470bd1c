"""A run of workers in memory under its supervisor, in this process; shared by the tests of the supervisor."""

from collections.abc import Callable
from typing import Any

import msgspec
from memory_run import Worker
from ray_in_process import RayInProcess

from pipeline.actors.run_plan import RunPlan, RunStatus
from pipeline.actors.supervisor import Supervisor
from pipeline.actors.vision_worker import WorkerParts

LEASE_SECONDS = 3600.0


def plan(make_worker: Callable[[int], WorkerParts], workers: int = 1, **changes: Any) -> RunPlan:
    """A run of workers alone."""
    of_workers: dict[str, Any] = {
        "run": "run",
        "workers": workers,
        "shards": 0,
        "replicas": 1,
        "make_worker": make_worker,
        "make_shard": lambda _: None,
        "lease_seconds": LEASE_SECONDS,
        "heartbeat": lambda: None,
        "heartbeat_seconds": 3600.0,
        "worker_options": {},
    }
    return RunPlan(**of_workers | changes)


def parts(worker: Worker) -> WorkerParts:
    """What a factory gives for a worker in memory."""
    return WorkerParts(worker.loop, worker.ledger, worker.trace, 0, lambda: None)


def started(ray: RayInProcess, what: RunPlan) -> Supervisor:
    """The supervisor of a run, without a command."""
    ray.remote(Supervisor).options(name="supervisor").remote(what)
    (supervising,) = [actor for actor in ray.made if isinstance(actor, Supervisor)]
    return supervising


def final(told: Any) -> RunStatus:
    """A supervisor's last word, which has one part."""
    assert not told.rest
    return msgspec.msgpack.decode(told.content, type=RunStatus)
