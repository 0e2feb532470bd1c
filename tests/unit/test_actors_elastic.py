"""An elastic pool under its supervisor, in this process: what becomes of the rule's decisions."""

from collections.abc import Callable

import msgspec
import pytest
from elastic_run import SCALING, ElasticRun, Means, Rule, slots
from memory_run import MemoryRun
from ray_in_process import RayInProcess

from pipeline.actors import child, elastic, pool, supervisor
from pipeline.actors.elastic import ElasticParts, standing_workers
from pipeline.actors.pool_status import PoolChange
from pipeline.actors.report import WorkReport
from pipeline.actors.supervisor import Supervisor
from pipeline.catalog import metrics
from pipeline.core.deadlines import Backoff
from pipeline.core.scaling import Scaling
from pipeline.errors import BrokerError, CustodyError, Fenced, ModelError, SettingsError

Eventually = Callable[..., None]


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


@pytest.fixture
def run(run: MemoryRun, ray: RayInProcess, rules: list[Rule], means: Means, eventually: Eventually) -> ElasticRun:
    """A run, as elsewhere, whose supervisor a test starts."""
    return ElasticRun(run, ray, rules, means, eventually)


def test_the_pool_follows_the_rule_and_accounts_for_every_frame(run: ElasticRun, eventually: Eventually) -> None:
    """1, 2, 1 and 2 workers: frames of each time are accounted for once, and nobody has died."""
    made, memory, told = run.start(), run.memory, run.means.telemetry
    eventually(lambda: slots(made) == [0])
    for number, workers in enumerate((1, 2, 1, 2), 1):
        run.resize(made, workers)
        for identity, partition in ((2 * number, 0), (2 * number + 1, 1)):
            memory.send(identity, partition=partition)
        eventually(lambda: len(memory.alerts) == min(2 * number, 6), "alerts")  # noqa: B023  # used within the loop alone
        eventually(lambda: run.means.workers() == (workers, workers), "metrics")  # noqa: B023  # as above
    status = made.status()
    assert status.replaced == 0
    assert status.ready
    assert status.pool is not None
    assert (status.pool.wanted, status.pool.grown, status.pool.shrunk, status.pool.trouble) == (2, 2, 1, "")
    assert status.pool.latest == PoolChange(1, 2, "a test wants it")
    assert status.pool.metrics_port == 9400
    assert (status.pool.least, status.pool.most) == (1, 2)
    assert told.value(metrics.POOL_CHANGES, direction="up") == 2
    assert told.value(metrics.POOL_CHANGES, direction="down") == 1
    assert told.value(metrics.POOL_LAG) == 7
    assert len([actor for actor in run.ray.made if not isinstance(actor, Supervisor)]) == 3
    made.stop(10.0)
    assert made.status().failure == ""
    eventually(lambda: memory.audit().balanced, "custody")
    eventually(run.means.closed.is_set, "the end of the measuring")


def test_a_worker_that_left_is_no_worker_of_the_run_and_its_work_still_counts(
    run: ElasticRun, eventually: Eventually
) -> None:
    """Its process is gone; the totals are those of all there were."""
    made = run.start(workers=2)
    for partition in (0, 1):
        run.memory.send(1, partition=partition)
    eventually(lambda: len(run.memory.alerts) == 2, "alerts")
    run.resize(made, 1)
    assert sorted(run.ray.actors) == ["supervisor", "worker-0"]
    work = msgspec.msgpack.decode(made.status().work, type=WorkReport)
    assert (work.outcomes, work.alerts) == ({"processed": 2}, 2)


def test_a_kafka_that_does_not_answer_is_told_and_changes_nothing(run: ElasticRun, eventually: Eventually) -> None:
    """The rule is told that it knows nothing; when Kafka is back it goes on."""
    run.means.failure = BrokerError("Kafka at here: no answer")
    made = run.start()
    eventually(lambda: len(run.rule.seen) > 2)
    assert set(run.rule.seen) == {None}
    told = made.status().pool
    assert told is not None
    assert told.trouble == "Kafka at here: no answer"
    run.means.failure = None
    run.resize(made, 2)
    told = made.status().pool
    assert told is not None
    assert told.trouble == ""


def test_means_that_cannot_be_had_are_the_runs_failure(run: ElasticRun, eventually: Eventually) -> None:
    """Nobody would resize the pool, and nobody would know."""

    def refused() -> ElasticParts:
        raise SettingsError("kafka: no such mechanism")

    run.open_parts = refused
    made = run.start()
    eventually(lambda: made.status().failure == "scaling of run run: kafka: no such mechanism")


def test_a_run_goes_on_without_a_worker_beyond_the_least_that_does_not_start(
    run: ElasticRun, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray may have no room for it; the least workers are what a run cannot do without."""
    made = run.start(workers=2)
    second = made._pool.workers[1]
    monkeypatch.setattr(elastic, "consumes", lambda worker: worker is not second)
    second._stillborn, second._last_error = supervisor.FAILURES_BEFORE_GIVING_UP, "no room"
    looks = len(run.rule.seen)
    eventually(lambda: len(run.rule.seen) > looks + 5, "some looks more")
    status = made.status()
    assert status.failure == ""
    assert status.pool is not None
    assert status.pool.trouble == "worker-1 does not start: no room"
    run.resize(made, 1)
    assert made.status().failure == ""
    first = made._pool.workers[0]
    first._stillborn, first._last_error = supervisor.FAILURES_BEFORE_GIVING_UP, "no room"
    eventually(lambda: made.status().failure == "worker-0 does not start: no room")


@pytest.mark.parametrize("error", [ModelError("no weights at /models"), BrokerError("Kafka at here: no answer")])
def test_a_run_goes_on_without_a_worker_beyond_the_least_that_cannot_be_built(
    run: ElasticRun, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Its node may lack what the others have, also for good; at the end it is no failure either."""
    monkeypatch.setattr(child, "BACKOFF", Backoff(first=0.01, factor=1.0, limit=0.01))
    monkeypatch.setattr(supervisor, "TEND_SECONDS", 0.01)
    run.failing[1] = error
    made = run.start()
    run.rule.wanted = 2
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
    run: ElasticRun, eventually: Eventually, error: Exception
) -> None:
    """Frames that are not accounted for, and another run of the same name."""
    run.failing[1] = error
    made = run.start()
    run.rule.wanted = 2
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
    run: ElasticRun, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that are not accounted for are no less so because the worker was to go."""
    monkeypatch.setattr(pool, "Retirement", Unaccountable)
    made = run.start(workers=2)
    run.rule.wanted = 1
    eventually(lambda: made.status().failure == "worker-1: a gap")
    assert made.status().failure_exit_code == CustodyError.exit_code


def killed(made: Supervisor, ray: RayInProcess) -> None:
    """End a supervisor as a kill does, without a word to its children."""
    made._stopping.set()  # its threads, which a killed process has no more
    del ray.actors["supervisor"]


def test_a_supervisor_that_comes_back_adopts_all_workers(run: ElasticRun, eventually: Eventually) -> None:
    """Also those beyond the least, which would end without a lease otherwise."""
    killed(run.start(workers=2), run.ray)
    assert standing_workers("run", SCALING) == 2
    second = run.start()
    eventually(lambda: slots(second) == [0, 1])
    assert run.rule.workers == 2
    assert len([actor for actor in run.ray.made if not isinstance(actor, Supervisor)]) == 2
    assert standing_workers("run", Scaling(least=1, most=1, target=1.0, interval=1.0)) == 1


def test_a_supervisor_that_comes_back_resizes_nothing_before_it_has_heard_whom_it_adopts(
    run: ElasticRun, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that has not been heard is ended without a drain when it has to go, as one that holds no frames."""
    killed(run.start(workers=2), run.ray)
    silent = child.Child.tend
    monkeypatch.setattr(child.Child, "tend", lambda *_: None)
    second = run.start()
    run.rule.wanted = 1
    eventually(lambda: len(run.rule.seen) > 5, "some looks")
    assert set(run.rule.seen) == {None}
    assert sorted(run.ray.actors) == ["supervisor", "worker-0", "worker-1"]
    monkeypatch.setattr(child.Child, "tend", silent)
    run.resize(second, 1)
    eventually(lambda: sorted(run.ray.actors) == ["supervisor", "worker-0"])
    assert second.status().failure == ""
