"""A supervisor that watches its run: which troubles of its parts end the run, and which it lives with."""

import threading
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

import pytest
from memory_run import MemoryRun
from ray_in_process import RayInProcess
from supervised_run import LEASE_SECONDS, parts, plan, started

from pipeline.actors import child, placement, supervisor
from pipeline.actors.vision_worker import VisionWorker
from pipeline.actors.watchlist_shard import ShardParts
from pipeline.core.deadlines import Backoff
from pipeline.core.replicas import Replica
from pipeline.errors import BrokerError, Fenced, ModelError, SettingsError
from pipeline.records import ConsumedRecord
from pipeline.testing.shard import FakeShard
from pipeline.testing.telemetry import FakeTelemetry

Eventually = Callable[..., None]


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
    monkeypatch.setattr(placement.Placement, "options", lambda *_: {})
    here = SimpleNamespace(get_node_id=lambda: "a node")
    monkeypatch.setattr(placement, "ray", ray)
    monkeypatch.setattr("ray.get_runtime_context", lambda: here)  # the real one would start a cluster
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
