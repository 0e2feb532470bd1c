"""What makes a run's pool of workers elastic: it is measured in a thread of its own, and resized by a rule.

The rule is `pipeline.core.scaling`; here its observations come from: the lag from Kafka, the rest from what the workers
report.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import ray
from ray.util import get_node_ip_address

from pipeline.actors.child import Child
from pipeline.actors.pool import Pool, consumes
from pipeline.actors.pool_status import PoolChange, PoolStatus
from pipeline.actors.totals import Totals
from pipeline.catalog import metrics
from pipeline.catalog.outcomes import Outcome
from pipeline.core.scaling import Observation, Scaler, Scaling
from pipeline.errors import BrokerError
from pipeline.ports import Telemetry

_log = logging.getLogger(__name__)

LATELY_SECONDS: Final = 2
"""The age of frames is that of those committed within as long; reports tell whole seconds apart."""
TOLD_SECONDS: Final = 60.0
"""How long the status tells of a worker that did not leave as it should; its frames are read again by then."""


@dataclass(frozen=True)
class ElasticParts:
    """What a factory builds in the supervisor's process."""

    lag: Callable[[], int]
    """Frames that the group has not committed; raises BrokerError. One thread calls it."""
    telemetry: Telemetry
    metrics_port: int
    close: Callable[[], None]
    """Frees the metrics server and the connection to Kafka."""


@dataclass(frozen=True)
class ElasticPlan:
    """Bounds and means of an elastic pool; picklable, as a part of a `RunPlan`."""

    scaling: Scaling
    open_parts: Callable[[], ElasticParts]
    drain_seconds: float
    """What a worker may take to finish what it holds once it is not wanted any more."""


def standing_workers(run: str, scaling: Scaling) -> int:
    """Workers that a supervisor begins with: the least, or what a predecessor has left, whose processes it adopts."""
    for slot in reversed(range(scaling.least, scaling.most)):
        try:
            ray.get_actor(f"worker-{slot}", namespace=run)
        except ValueError:
            continue
        return slot + 1
    return scaling.least


class Elasticity:
    """Resizes one pool; `status` may be called from any thread that holds the lock."""

    def __init__(
        self, plan: ElasticPlan, pool: Pool, totals: Totals, lock: threading.Lock, settled: Callable[[], bool]
    ) -> None:
        """`lock` guards `pool` and `totals`; it is never held while Kafka is asked.

        Nothing is resized until `settled`, asked under the lock: a worker that a predecessor has left may hold frames,
        and one that has not been heard yet would be taken for one that holds none.
        """
        self._plan = plan
        self._pool = pool
        self._totals = totals
        self._lock = lock
        self._settled = settled
        self._scaler = Scaler(plan.scaling, len(pool.workers))
        self._grown = 0
        self._shrunk = 0
        self._latest: PoolChange | None = None
        self._unmeasured = ""
        self._metrics_port = 0
        self._parting_trouble = ""
        self._parted_at = 0.0

    def run(self, stopping: threading.Event) -> None:
        """Measure and resize until `stopping` is set; raises LamppostError if the means for it cannot be had."""
        parts = self._plan.open_parts()
        self._metrics_port = parts.metrics_port
        try:
            while not stopping.wait(self._plan.scaling.period):
                lag = self._lag(parts)
                with self._lock:
                    if not stopping.is_set():
                        self._adjust(lag, parts.telemetry)
        finally:
            parts.close()

    def spares(self, child: Child[Any]) -> bool:
        """Whether the run goes on without this process: a worker beyond the least, for which there may be no room."""
        return any(child is worker for worker in self._pool.slots[self._plan.scaling.least :])

    def note_parting(self, trouble: str) -> None:
        """Tell for a while how a worker failed to leave as it should; caller holds the lock."""
        _log.warning("%s", trouble)
        self._parting_trouble, self._parted_at = trouble, time.monotonic()

    def status(self) -> PoolStatus:
        """What the pool is and was."""
        parting = self._parting_trouble if time.monotonic() - self._parted_at < TOLD_SECONDS else ""
        unborn = [each for each in self._pool.workers if each.stillborn and not consumes(each)]
        unstarted = f"{unborn[0].name} does not start: {unborn[0].last_error}" if unborn else ""
        return PoolStatus(
            least=self._plan.scaling.least,
            most=self._plan.scaling.most,
            wanted=self._scaler.workers,
            grown=self._grown,
            shrunk=self._shrunk,
            latest=self._latest,
            trouble=self._unmeasured or unstarted or parting,
            metrics_port=self._metrics_port,
            node=get_node_ip_address(),  # type: ignore[no-untyped-call]  # Ray's gap
        )

    def _lag(self, parts: ElasticParts) -> int | None:
        try:
            lag = parts.lag()
        except BrokerError as error:
            # the pool stays as it is until Kafka answers; workers that miss it end by themselves
            if not self._unmeasured:
                _log.warning("the pool is not measured: %s", error)
            self._unmeasured = str(error)
            return None
        self._unmeasured = ""
        return lag

    def _adjust(self, lag: int | None, telemetry: Telemetry) -> None:
        before = self._scaler.workers
        # while workers leave, their partitions are on their way, and their slots are not free
        moving = bool(self._pool.leaving) or not self._settled()
        decision = self._scaler.decide(None if lag is None or moving else self._observation(lag))
        telemetry.set(metrics.POOL_WORKERS, decision.workers, state="wanted")
        telemetry.set(metrics.POOL_WORKERS, self._pool.running, state="running")
        if lag is not None:
            telemetry.set(metrics.POOL_LAG, lag)
        if decision.workers == before:
            return
        self._latest = PoolChange(before, decision.workers, decision.reason)
        self._parting_trouble = ""
        if decision.workers > before:
            self._grown += 1
        else:
            self._shrunk += 1
        telemetry.count(metrics.POOL_CHANGES, direction="up" if decision.workers > before else "down")
        self._pool.resize(decision.workers, time.monotonic(), self._plan.drain_seconds)

    def _observation(self, lag: int) -> Observation:
        outcomes = self._totals.outcomes()
        return Observation(
            at=time.monotonic(),
            running=self._pool.running,
            lag=lag,
            ended=sum(outcomes.values()),
            processed=outcomes.get(Outcome.PROCESSED, 0),
            shed=outcomes.get(Outcome.SHED, 0),
            age=self._totals.oldest(int(time.time()) - LATELY_SECONDS),
        )
