"""A run under its supervisor, in this process: what it says fits into Ray's messages, and what ends it is told."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from memory_run import MemoryRun, Worker
from ray.exceptions import GetTimeoutError, RayActorError
from ray_in_process import RayInProcess, Reference

from pipeline.actors import child, parcel, placement, supervisor, watchlist_shard
from pipeline.actors.batch import Extent, FrameFacts, Seen
from pipeline.actors.report import Ledger, WorkReport
from pipeline.actors.run_plan import RunPlan, RunStatus
from pipeline.actors.shard_reply import CALL_BYTES
from pipeline.actors.supervisor import Supervisor
from pipeline.actors.vision_worker import VisionWorker, WorkerParts
from pipeline.actors.watchlist_shard import ShardParts
from pipeline.catalog.outcomes import Outcome
from pipeline.core.deadlines import Backoff
from pipeline.core.replicas import Replica
from pipeline.errors import BrokerError, ClusterError, Fenced, ModelError, SettingsError
from pipeline.records import ConsumedRecord, OutcomeRange, OutgoingRecord, Receipt
from pipeline.runtime import supervision
from pipeline.runtime.supervision import Supervision
from pipeline.testing.outbox import FakeOutbox
from pipeline.testing.shard import FakeShard
from pipeline.testing.telemetry import FakeTelemetry

Eventually = Callable[..., None]

LEASE_SECONDS = 3600.0
RAY_INLINE_BYTES = 100_000
"""Ray puts larger arguments and replies into its object store."""
CAMERAS = 64
LATENCIES = 400
SECOND_NS = 10**9
NOW_NS = 1_800_000_000 * SECOND_NS


@pytest.fixture
def run() -> Iterator[MemoryRun]:
    """A run without workers; those that a test starts end with it."""
    with MemoryRun() as started:
        yield started


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayInProcess]:
    """A Ray in place of the real one, wherever a run speaks to it; what a test leaves running is stopped."""
    made = RayInProcess()
    for module in (child, parcel, supervisor, supervision):
        monkeypatch.setattr(module, "ray", made)
    yield made
    for actor in made.made:
        actor.stop(0.0)


def plan(make_worker: Callable[[int], WorkerParts], workers: int = 1, **changes: Any) -> RunPlan:
    """A run of workers alone."""
    return RunPlan(
        **{
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
        | changes
    )


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


def work_through(ledger: Ledger, cameras: range) -> None:
    """Let each camera have frames of very different latencies and queue ages."""
    for number in range(LATENCIES):
        age_ns = int(1.021**number * SECOND_NS / 1000)
        frames = tuple(
            FrameFacts(0, number, f"north/cam-{camera:04}", "r", number, NOW_NS - age_ns, NOW_NS - age_ns, True)
            for camera in cameras
        )
        ledger.settled(
            Seen(
                Extent(len(frames), {}, (), None, 1, NOW_NS),
                number,
                (),
                (),
                frames,
                np.zeros(0, np.int64),
                np.zeros((0, 4), np.float32),
                np.zeros((0, 128), np.float32),
            ),
            Receipt(
                run="run",
                slot=0,
                batch=number,
                decided_ns=NOW_NS,
                ranges=(OutcomeRange(0, number, number + 1, Outcome.PROCESSED),),
                alerts=0,
                watchlist_version_lowest=1,
                watchlist_version_greatest=1,
                fraction_searched=1.0,
            ),
            [],
            NOW_NS,
        )


def test_what_many_cameras_did_fits_into_rays_messages_and_arrives_whole(
    run: MemoryRun, ray: RayInProcess, eventually: Eventually
) -> None:
    """64 cameras over two workers, with 400 distinct latencies each: every place arrives, also at the end."""

    def make_worker(slot: int) -> WorkerParts:
        worker = run.unstarted(slot)
        work_through(worker.ledger, range(slot * CAMERAS // 2, (slot + 1) * CAMERAS // 2))
        return parts(worker)

    command = Supervision(plan(make_worker, workers=2))
    expected = {f"north/cam-{camera:04}": LATENCIES for camera in range(CAMERAS)}

    def seen(status: RunStatus) -> dict[str, int]:
        work = msgspec.msgpack.decode(status.work, type=WorkReport)
        return {name: place.latency.count for name, place in work.places.items()}

    eventually(lambda: seen(command.status()) == expected, "the work of all cameras")
    status = command.status()
    assert status.ready
    assert [worker.work for worker in status.workers] == [b"", b""]
    assert len(status.work) > 2 * CALL_BYTES, "more than a message carries"
    assert seen(command.stop(5.0)) == expected
    assert CALL_BYTES < ray.heaviest < RAY_INLINE_BYTES


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

    with made._lock, monkeypatch.context() as patched:
        patched.setattr(worker, "report", dead)
        eventually(lambda: adopted.tend(time.monotonic()) or adopted.deaths)
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
    for module in (child, parcel, supervisor, supervision):
        monkeypatch.setattr(module, "ray", ray)
    made = started(ray, plan(lambda _: pytest.fail("no worker is built")))
    eventually(lambda: made._pool.workers[0].ask("renew") is not None)
    began = time.monotonic()
    assert final(made.stop(30.0)).failure == ""
    assert time.monotonic() - began < 15.0


def test_a_worker_fenced_by_another_run_of_its_name_ends_the_run(
    run: MemoryRun, ray: RayInProcess, eventually: Eventually
) -> None:
    """A successor would only fence the other in turn, for ever: the run says which name is taken, and what to do."""
    made = started(ray, plan(lambda slot: parts(run.unstarted(slot))))
    eventually(lambda: made.status().ready)
    rival = VisionWorker(0, lambda slot: parts(run.unstarted(slot)), LEASE_SECONDS)
    eventually(lambda: rival.status().state == "running")

    def failed() -> bool:
        run.send(1, partition=0)
        run.send(1, partition=1)
        return bool(made.status().failure)

    eventually(failed)
    status = made.status()
    assert "worker slot 0 of run run was fenced" in status.failure
    assert "another run uses the name run" in status.failure
    assert "--run-name" in status.failure
    assert status.failure_exit_code == Fenced.exit_code
    assert status.replaced == 0
    assert rival.status().state == "running"
    rival.stop(5.0)


class Topic:
    """A watchlist topic without a record, and what is made of it: feed and view in one."""

    version = entries = malformed = 0
    settled = True

    def poll(self, timeout: float) -> list[ConsumedRecord]:
        """See the feed."""
        return []

    def ends(self) -> Mapping[int, int]:
        """See the feed."""
        return {}

    def reached(self, ends: Mapping[int, int]) -> bool:
        """See the feed."""
        return True

    def apply(self, records: Sequence[ConsumedRecord]) -> None:
        """See the view."""

    def sweep(self, now_ns: int) -> int:
        """See the view."""
        return 0


def shard_parts(replica: Replica) -> ShardParts:
    """What a factory gives for a replica that serves."""
    return ShardParts(FakeShard(), Topic(), Topic(), FakeTelemetry(), 0, lambda: None)


@pytest.mark.parametrize("error", [ModelError("no index here"), BrokerError("Kafka at here: no answer")])
def test_a_replica_that_cannot_start_ends_the_run_only_where_no_sibling_serves(
    ray: RayInProcess, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Searches are answered meanwhile, and the status says what is wrong with it."""
    monkeypatch.setattr(child, "BACKOFF", Backoff(first=0.01, factor=1.0, limit=0.01))
    monkeypatch.setattr(supervisor, "TEND_SECONDS", 0.01)
    monkeypatch.setattr(supervisor.Placement, "options", lambda *_: {})
    here = SimpleNamespace(get_node_id=lambda: "a node")
    monkeypatch.setattr(placement, "ray", ray)
    monkeypatch.setattr(watchlist_shard.ray, "get_runtime_context", lambda: here)  # the real one would start a cluster
    broken = {1}

    def make_shard(replica: Replica) -> ShardParts:
        if replica.number in broken:
            raise error
        return shard_parts(replica)

    made = started(
        ray,
        plan(lambda _: pytest.fail("there are no workers"), workers=0, shards=1, replicas=2, make_shard=make_shard),
    )
    eventually(lambda: made._shards[1].failures > supervisor.FAILURES_BEFORE_GIVING_UP, "failures in a row")
    status = made.status()
    assert (status.failure, status.shards[0].state) == ("", "running")
    assert status.last_replaced == f"shard-0.1: {error}"
    broken.add(0)
    ray.kill(ray.actors["shard-0.0"], no_restart=True)
    made._shards[0].kill()
    eventually(lambda: str(error) in made.status().failure, "the end")


def test_a_heartbeat_that_cannot_be_set_up_is_the_runs_failure(
    run: MemoryRun, ray: RayInProcess, eventually: Eventually
) -> None:
    """Without heartbeats a removed template stays in Kafka's files, so nobody may miss it in silence."""
    beaten = threading.Event()

    def heartbeat() -> None:
        beaten.set()
        raise SettingsError("kafka: no such mechanism")

    made = started(ray, plan(lambda slot: parts(run.unstarted(slot)), heartbeat=heartbeat, heartbeat_seconds=0.01))
    assert beaten.wait(20.0)
    eventually(lambda: made.status().failure)
    status = made.status()
    assert status.failure == "heartbeat of run run: kafka: no such mechanism"
    assert status.failure_exit_code == SettingsError.exit_code


def test_a_heartbeat_that_finds_no_broker_is_tried_again(
    run: MemoryRun, ray: RayInProcess, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """Compaction waits until Kafka is back, and the run goes on."""
    beats: list[int] = []

    def heartbeat() -> None:
        beats.append(len(beats))
        raise BrokerError("Kafka at here: no answer")

    made = started(ray, plan(lambda slot: parts(run.unstarted(slot)), heartbeat=heartbeat, heartbeat_seconds=0.01))
    eventually(lambda: len(beats) > 2)
    assert made.status().failure == ""
    assert "no answer" in caplog.text
