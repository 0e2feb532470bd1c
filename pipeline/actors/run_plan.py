"""What a run consists of, and what it looks like to its command."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipeline.actors.elastic import ElasticPlan
from pipeline.actors.pool_status import PoolStatus
from pipeline.actors.vision_worker import WorkerParts, WorkerStatus
from pipeline.actors.watchlist_shard import ShardStatus
from pipeline.core.replicas import Replica


@dataclass(frozen=True)
class RunPlan:
    """What a supervisor keeps alive; picklable, since Ray rebuilds a supervisor from it."""

    run: str
    workers: int
    shards: int
    replicas: int
    """Of each shard."""
    make_worker: Callable[[int], WorkerParts]
    make_shard: Callable[[Replica], Any]
    lease_seconds: float
    heartbeat: Callable[[], None]
    """Keeps the watchlist topic compacting; called every `heartbeat_seconds`."""
    heartbeat_seconds: float
    worker_options: dict[str, Any]
    """Ray resources of a worker, such as num_gpus."""
    shard_options: dict[str, Any] = field(default_factory=dict)
    """The same of a shard's replica."""
    elastic: ElasticPlan | None = None
    """None: the pool has `workers`, whatever comes."""


class RunStatus(msgspec.Struct, frozen=True):
    """A run as its command sees it."""

    pid: int
    workers: list[WorkerStatus]
    shards: list[ShardStatus]
    """Of every replica."""
    awaited: int
    """Processes that have not answered yet; the lists are of those that have."""
    replaced: int
    """Processes replaced so far."""
    last_replaced: str
    """Which was the latest, and why; empty if none was."""
    failure: str
    """Empty unless the run cannot go on."""
    failure_exit_code: int
    work: bytes
    """msgpack of the merged `WorkReport`."""
    pool: PoolStatus | None = None
    """None: the pool is fixed."""

    @property
    def ready(self) -> bool:
        """Whether every worker consumes and every replica of every shard serves."""
        return (
            not self.awaited
            and all(worker.state == "running" for worker in self.workers)
            and all(shard.state == "running" for shard in self.shards)
        )
