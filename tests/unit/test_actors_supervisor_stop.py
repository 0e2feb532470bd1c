"""The end of a run under its supervisor: what its workers hold is drained, what failed is told, nothing is started."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from memory_run import MemoryRun
from ray.exceptions import GetTimeoutError, RayActorError
from ray_in_process import RayInProcess, Reference
from supervised_run import LEASE_SECONDS, final, parts, plan, started

from pipeline.actors import child, supervisor
from pipeline.actors.supervisor import Supervisor
from pipeline.actors.vision_worker import VisionWorker
from pipeline.core.deadlines import Backoff
from pipeline.errors import BrokerError, ClusterError
from pipeline.records import OutgoingRecord
from pipeline.testing.outbox import FakeOutbox

Eventually = Callable[..., None]


class FailingOutbox(FakeOutbox):
    """Holds a commit until it is let, and then finds that Kafka is gone."""

    def __init__(self, run: MemoryRun) -> None:
        super().__init__(run.broker, topic="frames", transactional_id="run.worker-0")
        self.waiting = threading.Event()
        self.free = threading.Event()

    def commit(self, records: Sequence[OutgoingRecord], offsets: Mapping[int, int], membership: Any) -> None:
        """See the port."""
        self.waiting.set()
        assert self.free.wait(20.0)
        raise BrokerError("Kafka at here: commit of a transaction failed")


def test_a_worker_that_fails_in_its_drain_is_the_runs_failure(
    run: MemoryRun, ray: RayInProcess, eventually: Eventually
) -> None:
    """Though a new process might do better: there will be none, and what it held is not accounted for."""
    outbox = FailingOutbox(run)
    made = started(ray, plan(lambda slot: parts(run.unstarted(slot, outbox=outbox))))
    run.send(1)
    assert outbox.waiting.wait(20.0)
    eventually(lambda: made.status().ready)
    told: list[Any] = []
    ending = threading.Thread(target=lambda: told.append(made.stop(10.0)))
    ending.start()
    eventually(made._stopping.is_set)
    outbox.free.set()
    ending.join(20.0)
    assert final(told[0]).failure == "worker-0: Kafka at here: commit of a transaction failed"
    assert final(told[0]).failure_exit_code == BrokerError.exit_code


def test_a_drain_that_did_not_end_in_time_is_the_runs_failure(
    run: MemoryRun, ray: RayInProcess, eventually: Eventually
) -> None:
    """What is left is consumed again by a successor, and whoever ended the run is told."""
    made = started(ray, plan(lambda slot: parts(run.unstarted(slot))))
    eventually(lambda: made.status().ready)
    run.gallery.stay_away(10**9)
    run.send(1)
    eventually(lambda: run.broker.log("frames", 0).end == 1 and made.status().workers[0].lag == {0: 0, 1: 0})
    ended = final(made.stop(0.2))
    assert "worker-0: worker slot 0 did not finish what it held within 0.2 s" in ended.failure
    assert "consumed again by a successor" in ended.failure
    assert ended.failure_exit_code == ClusterError.exit_code
    assert run.receipts == []


def test_a_supervisor_that_came_back_a_moment_ago_drains_what_its_predecessor_has_left(
    run: MemoryRun, ray: RayInProcess, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it has not heard of its worker yet, that one holds frames, and commits them."""
    make = plan(lambda slot: parts(run.unstarted(slot)))
    ray.remote(VisionWorker).options(name="worker-0").remote(0, make.make_worker, LEASE_SECONDS)
    (worker,) = ray.made
    eventually(lambda: worker.status().state == "running")
    monkeypatch.setattr(supervisor, "TEND_SECONDS", 3600.0)
    made = started(ray, make)
    run.send(1)
    ended = final(made.stop(10.0))
    assert [each.state for each in ended.workers] == ["stopped"]
    assert ended.failure == ""
    assert "worker-0" not in ray.actors


def test_a_stop_replaces_no_worker_that_a_predecessor_left_and_that_died_since(
    run: MemoryRun, ray: RayInProcess, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was heard of, and what it held is a successor's: a new process would only be drained."""
    monkeypatch.setattr(child, "BACKOFF", Backoff(first=0.0, limit=0.0))
    make = plan(lambda slot: parts(run.unstarted(slot)))
    ray.remote(VisionWorker).options(name="worker-0").remote(0, make.make_worker, LEASE_SECONDS)
    (worker,) = ray.made
    made = started(ray, make)
    eventually(lambda: made.status().ready)
    (adopted,) = made._pool.workers
    before = len(ray.made)

    def dead(_: int) -> None:
        raise RayActorError

    def died() -> int:
        adopted.tend(time.monotonic())
        return adopted.deaths

    with made._lock, monkeypatch.context() as patched:
        patched.setattr(worker, "report", dead)
        eventually(died)
        made._stopping.set()
    assert final(made.stop(1.0)).failure == ""
    assert len(ray.made) == before


def test_a_stop_creates_no_worker_in_the_place_of_one_that_a_predecessor_left(
    run: MemoryRun, ray: RayInProcess, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process was there when the supervisor came back, and is not any more."""
    make = plan(lambda slot: parts(run.unstarted(slot)))
    ray.remote(VisionWorker).options(name="worker-0").remote(0, make.make_worker, LEASE_SECONDS)
    monkeypatch.setattr(supervisor, "TEND_SECONDS", 3600.0)
    made = started(ray, make)
    ray.kill(ray.actors["worker-0"], no_restart=True)
    before = len(ray.made)
    assert final(made.stop(1.0)).failure == ""
    assert len(ray.made) == before


class Roomless(RayInProcess):
    """A Ray that has room for the supervisor alone: an actor beyond it stays to be started, and answers nothing."""

    class Nothing(Reference):
        """What a call of an actor gives that is not started."""

    def remote(self, actor: type) -> Any:
        """See Ray."""
        if actor is Supervisor:
            return super().remote(actor)
        waiting = SimpleNamespace(remote=lambda *_: self.Nothing(None))
        handle = SimpleNamespace(renew=waiting, report=waiting, stop=waiting)
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda *_: handle))

    def get(self, references: Any, timeout: float) -> Any:
        """See Ray."""
        if isinstance(references, self.Nothing):
            raise GetTimeoutError
        return super().get(references, timeout)

    def wait(self, references: list[Any], timeout: float, num_returns: int = 1) -> tuple[list[Any], list[Any]]:
        """See Ray."""
        late = [each for each in references if isinstance(each, self.Nothing)]
        if late:
            threading.Event().wait(timeout)
        return [each for each in references if each not in late], late


def test_a_run_ends_at_once_where_ray_has_no_room_for_its_worker(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """It holds nothing that could be drained, and that it never was is no failure of the end."""
    ray = Roomless()
    ray.install(monkeypatch)
    made = started(ray, plan(lambda _: pytest.fail("no worker is built")))
    eventually(lambda: made._pool.workers[0].ask("renew") is not None)
    began = time.monotonic()
    assert final(made.stop(30.0)).failure == ""
    assert time.monotonic() - began < 15.0
