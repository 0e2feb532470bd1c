"""An elastic pool under its supervisor, in this process, for tests: a rule, a Kafka and workers that a test plays."""

import threading
from collections.abc import Callable

from memory_run import MemoryRun
from ray_in_process import RayInProcess

from pipeline.actors.elastic import ElasticParts, ElasticPlan
from pipeline.actors.run_plan import RunPlan
from pipeline.actors.supervisor import Supervisor
from pipeline.actors.vision_worker import WorkerParts
from pipeline.catalog import metrics
from pipeline.core.scaling import Decision, Observation, Scaling
from pipeline.errors import BrokerError
from pipeline.testing.telemetry import FakeTelemetry

Eventually = Callable[..., None]

LEASE_SECONDS = 3600.0
SCALING = Scaling(least=1, most=2, target=1.0, interval=1.0)


class Rule:
    """Stands in for the rule: wants what a test wants, and keeps what it was shown."""

    def __init__(self, scaling: Scaling, workers: int) -> None:
        self.workers = workers
        self.wanted = workers
        self.seen: list[Observation | None] = []

    def decide(self, seen: Observation | None) -> Decision:
        """See the rule."""
        self.seen.append(seen)
        if seen is None or self.wanted == self.workers:
            return Decision(self.workers)
        self.workers = self.wanted
        return Decision(self.workers, "a test wants it")


class Means:
    """What an elastic pool is measured with."""

    def __init__(self) -> None:
        self.telemetry = FakeTelemetry()
        self.failure: BrokerError | None = None
        self.closed = threading.Event()

    def __call__(self) -> ElasticParts:
        """See the plan."""
        return ElasticParts(self.lag, self.telemetry, 9400, self.closed.set)

    def lag(self) -> int:
        """See the parts."""
        if self.failure is not None:
            raise self.failure
        return 7

    def workers(self) -> tuple[float, float]:
        """Wanted and running, as exported."""
        told = [self.telemetry.value(metrics.POOL_WORKERS, state=state) for state in ("wanted", "running")]
        return told[0], told[1]


class ElasticRun:
    """An elastic run of workers alone, without a command, whose pool wants what the test wants."""

    def __init__(self, memory: MemoryRun, ray: RayInProcess, rules: list[Rule], means: Means, wait: Eventually) -> None:
        self.memory, self.ray, self.means = memory, ray, means
        self.open_parts: Callable[[], ElasticParts] = means
        self.failing: dict[int, Exception] = {}
        """Errors of slots that cannot be built."""
        self._rules = rules
        self._eventually = wait

    @property
    def rule(self) -> Rule:
        """That of the latest supervisor, once it measures."""
        return self._rules[-1]

    def start(self, workers: int = 1) -> Supervisor:
        """A supervisor, or the next one, and its pool once it has as many workers."""
        plan = RunPlan(
            run="run",
            workers=1,
            shards=0,
            replicas=1,
            make_worker=self._make_worker,
            make_shard=lambda _: None,
            lease_seconds=LEASE_SECONDS,
            heartbeat=lambda: None,
            heartbeat_seconds=3600.0,
            worker_options={},
            elastic=ElasticPlan(SCALING, self.open_parts, 20.0),
        )
        before = len(self._rules)
        self.ray.remote(Supervisor).options(name="supervisor").remote(plan)
        self._eventually(lambda: len(self._rules) > before)
        made = next(actor for actor in reversed(self.ray.made) if isinstance(actor, Supervisor))
        if workers > 1:
            self.resize(made, workers)
        return made

    def resize(self, made: Supervisor, workers: int) -> None:
        """Let the rule want another number, and wait until as many consume."""
        self.rule.wanted = workers
        self._eventually(lambda: slots(made) == list(range(workers)) and not made._pool.leaving, f"{workers} workers")

    def _make_worker(self, slot: int) -> WorkerParts:
        if slot in self.failing:
            raise self.failing[slot]
        worker = self.memory.unstarted(slot)
        return WorkerParts(worker.loop, worker.ledger, worker.trace, 0, lambda: None)


def slots(made: Supervisor) -> list[int]:
    """The slots of the workers that consume."""
    return [worker.slot for worker in made.status().workers if worker.state == "running"]
