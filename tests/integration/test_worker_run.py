"""Workers and shards under their supervisor, on Ray and Kafka, with eyes that know everybody."""

import dataclasses
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import street_run
from object_store import ObjectStore
from street_run import LISTED, PARTITIONS, Street, alive, kill_shard, scraped, serving, shards_by_name, work

from pipeline.actors.run_plan import RunStatus
from pipeline.actors.supervisor import SUPERVISOR, Supervisor
from pipeline.actors.vision_worker import VisionWorker, WorkerParts
from pipeline.actors.watchlist_shard import ShardStatus
from pipeline.catalog.metrics import FRACTION_SEARCHED, SEARCHES_FAILED_OVER
from pipeline.errors import ClusterError
from pipeline.runtime.settings import Matching
from pipeline.runtime.supervision import Supervision
from pipeline.streams.client import Connection
from pipeline.testing.pictures import encode, paint_face
from pipeline.vision.decode import decode_jpeg
from pipeline.wire import watchlist as watchlist_wire

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("portable")]

PORTABLE = (street_run,)

Eventually = Callable[..., None]

START_SECONDS = 90.0
TAKEOVER_SECONDS = 60.0
"""A killed member's partitions come back after the broker's session time-out, and its process has to start anew."""


@pytest.fixture
def street(
    ray_connection: Any, kafka: Connection, prefix: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Street]:
    """A run that nobody supervises yet; a test may ask for other shards than one."""
    made = Street(
        ray_connection,
        kafka,
        f"{prefix}run",
        lease_seconds=20.0,
        folder=tmp_path,
        matching=getattr(request, "param", None),
    )
    yield made
    made.close()


@pytest.fixture
def supervision(street: Street, eventually: Eventually) -> Iterator[Supervision]:
    """The run's supervision, with every worker and shard up."""
    started = Supervision(street.plan)
    eventually(lambda: serving(started.status()), "workers and shards", START_SECONDS)
    yield started
    if not started.ended:
        started.stop(0.0)


def test_no_frame_enters_rays_object_store(
    street: Street, supervision: Supervision, ray_connection: Any, eventually: Eventually
) -> None:
    """Nothing is ever put there, and neither a frame's bytes nor its pixels are found; both are once they are put there
    on purpose."""
    noise = np.random.default_rng(7).integers(0, 256, (480, 640), np.uint8)
    picture = np.repeat(noise[..., None], 3, axis=2)
    paint_face(picture, 10, 10, 60, 3)
    published = encode(picture)
    assert len(published) > 200_000, "larger than what Ray passes on inside a message"
    pixels = decode_jpeg(published)
    canaries = {"bytes": published[100_000:100_064], "pixels": pixels[300, :64].tobytes()}
    store = ObjectStore(ray_connection)
    for camera in range(PARTITIONS):
        for _ in range(5):
            street.send(camera=camera, picture=published)
    eventually(street.balanced, "custody")
    eventually(lambda: street.alerted == [(camera, "person-3") for camera in range(PARTITIONS)], "alerts")
    eventually(lambda: work(supervision.status()).faces == 5 * PARTITIONS, "faces")
    assert store.usage() == (0, 0)
    assert not [name for name, canary in canaries.items() if store.holds(canary)]
    held = [ray_connection.put(published), ray_connection.put(pixels)]
    assert min(store.usage()) > pixels.nbytes
    assert [name for name, canary in canaries.items() if store.holds(canary)] == ["bytes", "pixels"]
    del held


def test_killed_workers_are_replaced_and_nothing_is_lost_or_doubled(
    street: Street, supervision: Supervision, eventually: Eventually
) -> None:
    """kill -9 of either worker while frames come in: each planted pass has one alert, and custody balances."""
    planted: list[tuple[int, str]] = []
    killed: list[int] = []
    for identity in LISTED:
        for camera in range(PARTITIONS):
            street.send(identity, camera=camera)
            street.send(identity, 12, camera=camera)
            planted.append((camera, f"person-{identity}"))
        if identity in (2, 5):
            eventually(lambda: len(street.alerted) > len(LISTED) * len(killed), "work in hand", TAKEOVER_SECONDS)
            victims = {worker.slot: worker.pid for worker in supervision.status().workers}
            killed.append(victims[len(killed)])
            os.kill(killed[-1], signal.SIGKILL)
    eventually(street.balanced, "custody", TAKEOVER_SECONDS)
    eventually(lambda: supervision.status().replaced == 2, "replacements", TAKEOVER_SECONDS)
    eventually(lambda: all(w.pid not in killed for w in supervision.status().workers), "successors", TAKEOVER_SECONDS)
    final = supervision.stop(20.0)
    assert not final.failure
    assert street.finish() == sorted(planted)
    assert street.balanced()


@pytest.mark.parametrize("street", [Matching(shards=1, replicas=2)], indirect=True, ids=["two replicas"])
def test_a_killed_supervisor_comes_back_and_adopts_its_processes(
    street: Street, supervision: Supervision, eventually: Eventually
) -> None:
    """Ray starts it anew; workers and shards stay those that they were, and go on working meanwhile."""
    before = supervision.status()
    street.send(1)
    eventually(lambda: street.alerted, "an alert")
    os.kill(before.pid, signal.SIGKILL)
    street.send(2)
    eventually(lambda: supervision.status().pid != before.pid, "a new supervisor", START_SECONDS)
    eventually(lambda: serving(supervision.status()), "adoption", START_SECONDS)
    after = supervision.status()
    assert [(w.slot, w.pid) for w in after.workers] == [(w.slot, w.pid) for w in before.workers]
    assert [s.pid for s in after.shards] == [s.pid for s in before.shards]
    assert after.replaced == 0
    supervision.stop(20.0)
    assert street.finish() == [(0, "person-1"), (0, "person-2")]
    assert street.balanced()


@pytest.mark.parametrize("street", [Matching(shards=2, replicas=2)], indirect=True, ids=["two replicas"])
def test_a_killed_replica_is_not_missed(street: Street, supervision: Supervision, eventually: Eventually) -> None:
    """kill -9 of one in mid-run: every frame is searched by all shards while it is away, and its successor does not
    serve before it holds what was listed meanwhile."""
    before = shards_by_name(supervision)
    assert sorted(before) == ["shard-0.0", "shard-0.1", "shard-1.0", "shard-1.1"]
    street.hold_shards()
    for identity in LISTED:
        for camera in range(PARTITIONS):
            street.send(identity, camera=camera)
        if identity == 3:
            os.kill(before["shard-0.1"].pid, signal.SIGKILL)
        if identity >= 3:
            eventually(street.balanced, "custody while a replica is away", TAKEOVER_SECONDS)
    assert min(scraped(supervision.status(), SEARCHES_FAILED_OVER)) >= 1
    newest = street.write(watchlist_wire.encode_heartbeat())
    street.let_shards_start()
    successors: list[ShardStatus] = []

    def back() -> bool:
        now = shards_by_name(supervision)["shard-0.1"]
        successors.append(now)
        return now.pid != before["shard-0.1"].pid and now.state == "running"

    eventually(back, "a successor that serves", TAKEOVER_SECONDS)
    assert successors[-1].version >= newest
    assert successors[-1].entries == shards_by_name(supervision)["shard-0.0"].entries
    final = supervision.stop(20.0)
    assert (final.failure, final.replaced) == ("", 1)
    assert street.finish() == [(camera, f"person-{entry}") for camera in range(PARTITIONS) for entry in LISTED]
    assert street.fractions_searched() == {1.0}


@pytest.mark.parametrize(
    "street",
    [Matching(shards=2), Matching(shards=2, replicas=2)],
    indirect=True,
    ids=["one replica", "two replicas"],
)
def test_a_killed_shard_pauses_the_run_until_it_is_back(
    street: Street, supervision: Supervision, eventually: Eventually
) -> None:
    """Under `wait` no frame is matched against less than the whole watchlist, though the other shard answers."""
    street.hold_shards()
    killed = kill_shard(supervision, 0)
    eventually(lambda: supervision.status().replaced == len(killed), "replacements", TAKEOVER_SECONDS)
    for camera in range(PARTITIONS):
        for identity in LISTED:
            street.send(identity, camera=camera)
    eventually(
        lambda: all(worker.lag and not any(worker.lag.values()) for worker in supervision.status().workers),
        "frames in hand",
    )
    assert work(supervision.status()).outcomes == {}
    street.let_shards_start()
    eventually(street.balanced, "custody", TAKEOVER_SECONDS)
    supervision.stop(20.0)
    assert street.finish() == [(camera, f"person-{entry}") for camera in range(PARTITIONS) for entry in LISTED]
    assert street.fractions_searched() == {1.0}


@pytest.mark.parametrize(
    "street", [Matching(shards=2, replicas=2, on_shard_loss="degrade")], indirect=True, ids=["two replicas"]
)
def test_a_run_may_go_on_without_a_shard_and_says_so(
    street: Street, supervision: Supervision, eventually: Eventually
) -> None:
    """Under `degrade` receipts, alerts and the metric carry the fraction searched, until a replica is back."""
    street.hold_shards()
    kill_shard(supervision, 0)
    for camera in range(PARTITIONS):
        for identity in LISTED:
            street.send(identity, camera=camera)
    eventually(street.balanced, "custody without a shard", TAKEOVER_SECONDS)
    there = [identity for identity in LISTED if street.shard_of(identity) == 1]
    expected = [(camera, f"person-{identity}") for camera in range(PARTITIONS) for identity in there]
    eventually(lambda: street.alerted == expected, "alerts")
    assert {alert.fraction_searched for alert in street.tap.alerts} == street.fractions_searched() == {0.5}
    assert scraped(supervision.status(), FRACTION_SEARCHED) == [0.5, 0.5]
    street.let_shards_start()
    eventually(lambda: supervision.status().ready, "successors", TAKEOVER_SECONDS)

    def whole_again() -> bool:
        for camera in range(PARTITIONS):
            street.send(12, camera=camera)
        return scraped(supervision.status(), FRACTION_SEARCHED) == [1.0, 1.0]

    eventually(whole_again, "the whole watchlist", TAKEOVER_SECONDS)
    eventually(street.balanced, "custody", TAKEOVER_SECONDS)
    supervision.stop(20.0)
    assert street.fractions_searched() == {0.5, 1.0}


@pytest.mark.parametrize("street", [Matching(shards=1, replicas=2)], indirect=True, ids=["two replicas"])
def test_stop_leaves_no_process_of_the_run(street: Street, supervision: Supervision, eventually: Eventually) -> None:
    """Workers leave their group, shards end, the supervisor last; the final status holds all that was done."""
    status = supervision.status()
    pids = [status.pid, *(worker.pid for worker in status.workers), *(shard.pid for shard in status.shards)]
    for camera in range(PARTITIONS):
        street.send(5, camera=camera)
    eventually(street.balanced, "custody")
    final = supervision.stop(20.0)
    assert (work(final).outcomes, work(final).alerts) == ({"processed": PARTITIONS}, PARTITIONS)
    eventually(lambda: not [pid for pid in pids if alive(pid)], "the end of all processes")


def test_a_run_whose_command_is_gone_ends_itself(
    ray_connection: Any, kafka: Connection, prefix: str, tmp_path: Path, eventually: Eventually
) -> None:
    """Without renewal of its lease the supervisor drains and ends its workers and shards, and is not started anew."""
    street = Street(
        ray_connection,
        kafka,
        f"{prefix}run",
        lease_seconds=3.0,
        folder=tmp_path,
        matching=Matching(shards=1, replicas=2),
    )
    options = {"name": SUPERVISOR, "namespace": street.run, "lifetime": "detached", "max_restarts": -1, "num_cpus": 0}
    supervisor = ray_connection.remote(Supervisor).options(**options, max_concurrency=8).remote(street.plan)

    def renewed_status() -> RunStatus:
        supervisor.renew.remote()
        status: RunStatus = ray_connection.get(supervisor.status.remote(0), timeout=START_SECONDS)
        return status

    eventually(lambda: serving(renewed_status()), "workers and shards", START_SECONDS)
    status = renewed_status()
    pids = [status.pid, *(worker.pid for worker in status.workers), *(shard.pid for shard in status.shards)]
    street.send(6)
    eventually(lambda: street.alerted == [(0, "person-6")], "an alert")
    eventually(lambda: not [pid for pid in pids if alive(pid)], "the end of all processes", 30.0)
    with pytest.raises(ValueError, match=SUPERVISOR):
        ray_connection.get_actor(SUPERVISOR, namespace=street.run)
    street.close()


def crashing(_: int) -> WorkerParts:
    """A factory that takes its process along, as a library that was built for another processor does."""
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError("the process lives on")


def test_workers_that_never_start_end_the_run(street: Street, eventually: Eventually) -> None:
    """It says which, and why, in place of starting processes for ever."""
    supervision = Supervision(dataclasses.replace(street.plan, make_worker=crashing))
    try:
        eventually(lambda: supervision.status().failure, "the end of the run", START_SECONDS)
        status = supervision.status()
        assert re.match(r"worker-\d does not start: .*died", status.failure)
        assert len(status.failure.splitlines()) == 1
        assert status.failure_exit_code == ClusterError.exit_code
    finally:
        supervision.stop(0.0)


def test_workers_without_a_supervisor_end_themselves(
    street: Street, ray_connection: Any, eventually: Eventually
) -> None:
    """A worker whose lease nobody renews drains and exits."""
    worker = (
        ray_connection.remote(VisionWorker)
        .options(name="worker-0", namespace=street.run, max_restarts=0, max_concurrency=8, num_cpus=0)
        .remote(0, street.plan.make_worker, 3.0)
    )
    pid = ray_connection.get(worker.status.remote(0), timeout=START_SECONDS).pid
    eventually(lambda: not alive(pid), "the end of the orphan", 30.0)
