"""An elastic pool under its supervisor, in this process: what is observed, and what becomes of the rule's decisions."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

import msgspec
import pytest
from memory_run import MemoryRun, Worker
from ray_in_process import RayInProcess

from pipeline.actors import child, elastic, parcel, pool, supervisor
from pipeline.actors.elastic import Elasticity, ElasticParts, ElasticPlan, standing_workers
from pipeline.actors.pool import Pool
from pipeline.actors.pool_status import PoolChange
from pipeline.actors.report import SecondReport, WorkReport
from pipeline.actors.run_plan import RunPlan
from pipeline.actors.supervisor import Supervisor
from pipeline.actors.totals import Totals
from pipeline.actors.vision_worker import WorkerParts, WorkerStatus
from pipeline.catalog import metrics
from pipeline.core.deadlines import Backoff
from pipeline.core.latency import LatencySketch
from pipeline.core.scaling import Decision, Observation, Scaling
from pipeline.errors import BrokerError, CustodyError, Fenced, ModelError, SettingsError
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


@pytest.fixture
def run() -> Iterator[MemoryRun]:
    """A run without workers; those that a test starts end with it."""
    with MemoryRun() as started:
        yield started


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayInProcess]:
    """A Ray in place of the real one, wherever a supervisor speaks to it; what a test leaves running is stopped."""
    made = RayInProcess()
    for module in (child, parcel, pool, elastic, supervisor):
        monkeypatch.setattr(module, "ray", made)
    yield made
    for actor in made.made:
        actor.stop(0.0)


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> list[Rule]:
    """The rules that were made in place of the real one, in order."""
    made: list[Rule] = []

    def make(scaling: Scaling, workers: int) -> Rule:
        made.append(Rule(scaling, workers))
        return made[-1]

    monkeypatch.setattr(elastic, "Scaler", make)
    return made


@pytest.fixture
def means() -> Means:
    """A Kafka that answers."""
    return Means()


def parts(worker: Worker) -> WorkerParts:
    """What a factory gives for a worker in memory."""
    return WorkerParts(worker.loop, worker.ledger, worker.trace, 0, lambda: None)


def started(
    ray: RayInProcess,
    run: MemoryRun,
    means: Means | Callable[[], ElasticParts],
    failing: Mapping[int, Exception] = MappingProxyType({}),
) -> Supervisor:
    """The supervisor of an elastic run of workers alone, without a command; slots in `failing` cannot be built."""

    def make_worker(slot: int) -> WorkerParts:
        if slot in failing:
            raise failing[slot]
        return parts(run.unstarted(slot))

    plan = RunPlan(
        run="run",
        workers=1,
        shards=0,
        replicas=1,
        make_worker=make_worker,
        make_shard=lambda _: None,
        lease_seconds=LEASE_SECONDS,
        heartbeat=lambda: None,
        heartbeat_seconds=3600.0,
        worker_options={},
        elastic=ElasticPlan(SCALING, means, 20.0),
    )
    ray.remote(Supervisor).options(name="supervisor").remote(plan)
    return next(actor for actor in reversed(ray.made) if isinstance(actor, Supervisor))


def slots(made: Supervisor) -> list[int]:
    """The slots of the workers that consume."""
    return [worker.slot for worker in made.status().workers if worker.state == "running"]


def resized(rule: Rule, made: Supervisor, workers: int, eventually: Eventually) -> None:
    """Let the rule want another number, and wait until as many consume."""
    rule.wanted = workers
    eventually(lambda: slots(made) == list(range(workers)) and not made._pool.leaving, f"{workers} workers")


def test_the_pool_follows_the_rule_and_accounts_for_every_frame(
    run: MemoryRun, ray: RayInProcess, rules: list[Rule], means: Means, eventually: Eventually
) -> None:
    """1, 2, 1 and 2 workers: frames of each time are accounted for once, and nobody has died."""
    made = started(ray, run, means)
    eventually(lambda: slots(made) == [0])
    (rule,) = rules
    for number, workers in enumerate((1, 2, 1, 2), 1):
        resized(rule, made, workers, eventually)
        for identity, partition in ((2 * number, 0), (2 * number + 1, 1)):
            run.send(identity, partition=partition)
        eventually(lambda: len(run.alerts) == min(2 * number, 6), "alerts")  # noqa: B023  # used within the loop alone
        eventually(lambda: means.workers() == (workers, workers), "metrics")  # noqa: B023  # as above
    status = made.status()
    assert status.replaced == 0
    assert status.ready
    assert status.pool is not None
    assert (status.pool.wanted, status.pool.grown, status.pool.shrunk, status.pool.trouble) == (2, 2, 1, "")
    assert status.pool.latest == PoolChange(1, 2, "a test wants it")
    assert status.pool.metrics_port == 9400
    assert (status.pool.least, status.pool.most) == (1, 2)
    assert means.telemetry.value(metrics.POOL_CHANGES, direction="up") == 2
    assert means.telemetry.value(metrics.POOL_CHANGES, direction="down") == 1
    assert means.telemetry.value(metrics.POOL_LAG) == 7
    assert len([actor for actor in ray.made if not isinstance(actor, Supervisor)]) == 3
    made.stop(10.0)
    assert made.status().failure == ""
    eventually(lambda: run.audit().balanced, "custody")
    eventually(means.closed.is_set, "the end of the measuring")


def test_a_worker_that_left_is_no_worker_of_the_run_and_its_work_still_counts(
    run: MemoryRun, ray: RayInProcess, rules: list[Rule], means: Means, eventually: Eventually
) -> None:
    """Its process is gone; the totals are those of all there were."""
    made = started(ray, run, means)
    eventually(lambda: bool(rules))
    resized(rules[0], made, 2, eventually)
    for partition in (0, 1):
        run.send(1, partition=partition)
    eventually(lambda: len(run.alerts) == 2, "alerts")
    resized(rules[0], made, 1, eventually)
    assert sorted(ray.actors) == ["supervisor", "worker-0"]
    work = msgspec.msgpack.decode(made.status().work, type=WorkReport)
    assert (work.outcomes, work.alerts) == ({"processed": 2}, 2)


def test_a_kafka_that_does_not_answer_is_told_and_changes_nothing(
    run: MemoryRun, ray: RayInProcess, rules: list[Rule], means: Means, eventually: Eventually
) -> None:
    """The rule is told that it knows nothing; when Kafka is back it goes on."""
    means.failure = BrokerError("Kafka at here: no answer")
    made = started(ray, run, means)
    eventually(lambda: bool(rules) and len(rules[0].seen) > 2)
    assert set(rules[0].seen) == {None}
    told = made.status().pool
    assert told is not None
    assert told.trouble == "Kafka at here: no answer"
    means.failure = None
    resized(rules[0], made, 2, eventually)
    told = made.status().pool
    assert told is not None
    assert told.trouble == ""


def test_means_that_cannot_be_had_are_the_runs_failure(
    run: MemoryRun, ray: RayInProcess, eventually: Eventually
) -> None:
    """Nobody would resize the pool, and nobody would know."""

    def refused() -> ElasticParts:
        raise SettingsError("kafka: no such mechanism")

    made = started(ray, run, refused)
    eventually(lambda: made.status().failure == "scaling of run run: kafka: no such mechanism")


def test_a_run_goes_on_without_a_worker_beyond_the_least_that_does_not_start(
    run: MemoryRun,
    ray: RayInProcess,
    rules: list[Rule],
    *,
    means: Means,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray may have no room for it; the least workers are what a run cannot do without."""
    made = started(ray, run, means)
    eventually(lambda: bool(rules))
    resized(rules[0], made, 2, eventually)
    second = made._pool.workers[1]
    monkeypatch.setattr(elastic, "consumes", lambda worker: worker is not second)
    second._stillborn, second._last_error = supervisor.FAILURES_BEFORE_GIVING_UP, "no room"
    looks = len(rules[0].seen)
    eventually(lambda: len(rules[0].seen) > looks + 5, "some looks more")
    status = made.status()
    assert status.failure == ""
    assert status.pool is not None
    assert status.pool.trouble == "worker-1 does not start: no room"
    resized(rules[0], made, 1, eventually)
    assert made.status().failure == ""
    first = made._pool.workers[0]
    first._stillborn, first._last_error = supervisor.FAILURES_BEFORE_GIVING_UP, "no room"
    eventually(lambda: made.status().failure == "worker-0 does not start: no room")


@pytest.mark.parametrize("error", [ModelError("no weights at /models"), BrokerError("Kafka at here: no answer")])
def test_a_run_goes_on_without_a_worker_beyond_the_least_that_cannot_be_built(
    run: MemoryRun,
    ray: RayInProcess,
    rules: list[Rule],
    *,
    means: Means,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    """Its node may lack what the others have, also for good; at the end it is no failure either."""
    monkeypatch.setattr(child, "BACKOFF", Backoff(first=0.01, factor=1.0, limit=0.01))
    monkeypatch.setattr(supervisor, "TEND_SECONDS", 0.01)
    made = started(ray, run, means, failing={1: error})
    eventually(lambda: bool(rules))
    rules[0].wanted = 2
    eventually(lambda: len(made._pool.workers) == 2)
    eventually(lambda: made._pool.workers[1].failures > supervisor.FAILURES_BEFORE_GIVING_UP, "failures in a row")
    status = made.status()
    assert status.failure == ""
    assert status.pool is not None
    assert status.pool.trouble == f"worker-1 does not start: {error}"
    made.stop(5.0)
    assert made.status().failure == ""


@pytest.mark.parametrize("error", [Fenced("another run has the name"), CustodyError("a gap")])
def test_what_concerns_the_whole_run_is_fatal_also_in_a_worker_beyond_the_least(
    run: MemoryRun, ray: RayInProcess, rules: list[Rule], *, means: Means, eventually: Eventually, error: Exception
) -> None:
    """Frames that are not accounted for, and another run of the same name."""
    made = started(ray, run, means, failing={1: error})
    eventually(lambda: bool(rules))
    rules[0].wanted = 2
    eventually(lambda: made.status().failure == f"worker-1: {error}")


class Unaccountable(pool.Retirement):
    """A drain that ended with frames that are not accounted for."""

    def over(self, now: float) -> str | None:
        """See the retirement."""
        super().over(now)
        assert self.worker.status is not None
        self.worker.status = msgspec.structs.replace(
            self.worker.status, state="failed", failure="a gap", failure_exit_code=8, recoverable=False
        )
        return "a gap"


def test_a_leaving_worker_that_no_other_could_do_better_than_ends_the_run(
    run: MemoryRun,
    ray: RayInProcess,
    rules: list[Rule],
    *,
    means: Means,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Frames that are not accounted for are no less so because the worker was to go."""
    monkeypatch.setattr(pool, "Retirement", Unaccountable)
    made = started(ray, run, means)
    eventually(lambda: bool(rules))
    resized(rules[0], made, 2, eventually)
    rules[0].wanted = 1
    eventually(lambda: made.status().failure == "worker-1: a gap")
    assert made.status().failure_exit_code == CustodyError.exit_code


def test_a_supervisor_that_comes_back_adopts_all_workers(
    run: MemoryRun, ray: RayInProcess, rules: list[Rule], means: Means, eventually: Eventually
) -> None:
    """Also those beyond the least, which would end without a lease otherwise."""
    first = started(ray, run, means)
    eventually(lambda: bool(rules))
    resized(rules[0], first, 2, eventually)
    first._stopping.set()  # its threads, which a killed process has no more
    del ray.actors["supervisor"]
    assert standing_workers("run", SCALING) == 2
    second = started(ray, run, means)
    eventually(lambda: slots(second) == [0, 1])
    assert rules[1].workers == 2
    assert len([actor for actor in ray.made if not isinstance(actor, Supervisor)]) == 2
    assert standing_workers("run", Scaling(least=1, most=1, target=1.0, interval=1.0)) == 1


def test_a_bad_parting_is_told_of_for_a_while(
    rules: list[Rule], means: Means, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pool that has its size for hours is not in trouble; the log keeps it."""
    pool_of_one = Pool(lambda slot: child.Child(f"worker-{slot}", lambda: None, lambda _: _), 1)
    measured = Elasticity(ElasticPlan(SCALING, means, 20.0), pool_of_one, Totals(), threading.Lock())
    measured.note_parting("worker-1 left: it did not end in time")
    assert measured.status().trouble == "worker-1 left: it did not end in time"
    later = time.monotonic() + elastic.TOLD_SECONDS
    monkeypatch.setattr(elastic, "time", SimpleNamespace(monotonic=lambda: later))
    assert measured.status().trouble == ""
    assert "it did not end in time" in caplog.text


def second_with(*ages: float) -> SecondReport:
    """One second of frames of these queue ages."""
    sketch = LatencySketch()
    for age in ages:
        sketch.add(age)
    return SecondReport(queue_age=sketch)


def test_an_observation_is_what_the_workers_report_and_the_lag(
    ray: RayInProcess, rules: list[Rule], means: Means
) -> None:
    """Outcomes are those of all processes, the age is the greatest of the last two seconds, and nobody runs here."""
    totals = Totals()
    now = int(time.time())
    for slot, outcomes, seconds in (
        (0, {"processed": 5, "shed": 2}, {now - 60: second_with(50.0), now: second_with(0.5, 3.0)}),
        (1, {"processed": 1, "expired": 4}, {now: SecondReport()}),
    ):
        work = msgspec.msgpack.encode(WorkReport(outcomes=outcomes, seconds=seconds))
        totals.take_in(WorkerStatus(slot, 1, "running", "", 1, True, "", 0, "here", {}, work))
    assert totals.oldest(now) == 3.0
    assert totals.oldest(now + 1) is None
    lock, stopping = threading.Lock(), threading.Event()
    workers = Pool(lambda slot: child.Child(f"worker-{slot}", lambda: None, lambda _: _), 1)
    measuring = threading.Thread(
        target=Elasticity(ElasticPlan(SCALING, means, 20.0), workers, totals, lock).run, args=(stopping,)
    )
    measuring.start()
    (rule,) = rules
    while not rule.seen:
        stopping.wait(0.01)
    stopping.set()
    measuring.join(5.0)
    seen: Any = rule.seen[0]
    assert (seen.running, seen.lag, seen.ended, seen.processed, seen.shed, seen.age) == (0, 7, 12, 6, 2, 3.0)
    assert 0.0 <= time.monotonic() - seen.at < 5.0
