"""Workers and shards under their supervisor, on Ray and Kafka, with eyes that know everybody."""

import dataclasses
import mmap
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import numpy as np
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.actors.report import WorkReport
from pipeline.actors.run_plan import RunStatus
from pipeline.actors.supervisor import SUPERVISOR, Supervisor
from pipeline.actors.vision_worker import VisionWorker, WorkerParts
from pipeline.actors.watchlist_shard import ShardParts, ShardStatus
from pipeline.catalog.metrics import FRACTION_SEARCHED, SEARCHES_FAILED_OVER, Metric
from pipeline.catalog.topics import CUSTODY, FRAMES, WATCHLIST
from pipeline.core.replicas import Replica
from pipeline.core.sharding import shard_of
from pipeline.errors import ClusterError
from pipeline.records import Alert, Frame, OutgoingRecord, WatchlistEntry
from pipeline.runtime.composition import Looking, run_plan
from pipeline.runtime.settings import Kafka, Lifecycle, Matching, Overload, Run, Settings
from pipeline.runtime.supervision import Supervision
from pipeline.runtime.taps import AlertTap, CustodyAudit
from pipeline.runtime.topics import create
from pipeline.streams.client import Connection
from pipeline.streams.groups import begin_at
from pipeline.streams.reader import TopicReader
from pipeline.streams.writer import RecordWriter
from pipeline.testing.align import align
from pipeline.testing.detector import FakeDetector
from pipeline.testing.embedder import FakeEmbedder
from pipeline.testing.pictures import encode, jpeg, paint_face
from pipeline.vision.decode import decode_jpeg
from pipeline.wire import frames as frame_wire
from pipeline.wire import receipts as receipt_wire
from pipeline.wire import watchlist as watchlist_wire

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]

START_SECONDS = 90.0
TAKEOVER_SECONDS = 60.0
"""A killed member's partitions come back after the broker's session time-out, and its process has to start anew."""
PARTITIONS = 4
LISTED = range(8)
GREETING_BYTES = 8
"""Each process of Ray makes one object of this size, and drops it, to see whether the store answers."""


def knowing_eyes(_: Settings) -> Looking:
    """Eyes for the pictures of `pipeline.testing`."""
    return Looking(decode_jpeg, FakeDetector(), align, FakeEmbedder(), 0.9)


@dataclasses.dataclass(frozen=True)
class HeldBack:
    """Starts replicas of shards like `factory`, but not while the file `held` is there."""

    factory: Callable[[Replica], ShardParts]
    held: Path

    def __call__(self, replica: Replica) -> ShardParts:
        while self.held.exists():
            time.sleep(0.02)
        return self.factory(replica)


class Street:
    """One run on the tests' Kafka and Ray, and its cameras: one per partition."""

    def __init__(
        self,
        ray: Any,
        kafka: Connection,
        run: str,
        *,
        lease_seconds: float,
        folder: Path,
        matching: Matching | None = None,
    ) -> None:
        self._ray = ray
        self._writer = RecordWriter(kafka)
        self._sequences: Counter[int] = Counter()
        self._read_back = False
        self.run = run
        self.settings = Settings(
            kafka=Kafka(brokers=kafka.brokers),
            run=Run(name=run, group=run, workers=2, partitions=PARTITIONS),
            matching=matching or Matching(shards=1),
            overload=Overload(policy="block"),
            lifecycle=Lifecycle(lease_seconds=lease_seconds),
        )
        create(self.settings)
        self._kafka = kafka
        self.audit = CustodyAudit(kafka, run)
        begin_at(kafka, run, FRAMES, self.audit.frame_starts)
        self.tap = AlertTap(kafka, run)
        self._held = folder / "held"
        plan = run_plan(self.settings, run, knowing_eyes)
        self.plan = dataclasses.replace(plan, make_shard=HeldBack(plan.make_shard, self._held))
        self._writer.write([watchlist_wire.encode(self._entry(identity), 128) for identity in LISTED])

    def send(self, *people: int, camera: int = 0, picture: bytes | None = None) -> None:
        """Publish a frame of a camera."""
        frame = Frame(f"{self.run}/{camera}", "r", self._sequences[camera], time.time_ns(), picture or jpeg(*people))
        self._sequences[camera] += 1
        key, value, headers = frame_wire.encode(frame)
        self._writer.write([OutgoingRecord(FRAMES, key, value, headers, camera)])

    def write(self, record: OutgoingRecord) -> int:
        """Write a record of the watchlist; its offset."""
        return self._writer.write([record])[WATCHLIST, 0]

    def hold_shards(self) -> None:
        """Keep processes of shards that start from now on from coming up."""
        self._held.touch()

    def let_shards_start(self) -> None:
        """Let them come up."""
        self._held.unlink()

    def shard_of(self, identity: int) -> int:
        """The shard that holds somebody on the list."""
        return shard_of(self._entry(identity).entry, self.settings.matching.shards)

    @property
    def alerted(self) -> list[tuple[int, str]]:
        """(camera, entry) of each alert that was read back so far, sorted."""
        return sorted(map(self._alerted, self.tap.alerts))

    def finish(self) -> list[tuple[int, str]]:
        """(camera, entry) of each alert of the run, sorted, up to now; the last look."""
        self._read_back = True
        return sorted(map(self._alerted, self.tap.finish()))

    def balanced(self) -> bool:
        """Whether the receipts in Kafka account for every frame that was published."""
        return not self.audit.findings().problems

    def fractions_searched(self) -> set[float]:
        """What the receipts in Kafka say of how much of the watchlist was searched."""
        reader = TopicReader(self._kafka, CUSTODY)
        try:
            records = list(reader.read_to(reader.ends(), 30.0))
        finally:
            reader.close()
        receipts = [receipt_wire.decode(record.key, record.value, record.headers) for record in records]
        return {receipt.fraction_searched for receipt in receipts if receipt.run == self.run}

    def close(self) -> None:
        """Take the people off the list again."""
        if not self._read_back:
            self.tap.finish()
        self.audit.close()
        self._writer.write([watchlist_wire.encode_removal(self._entry(identity).entry) for identity in LISTED])
        self._writer.close()

    def _entry(self, identity: int) -> WatchlistEntry:
        return WatchlistEntry(f"{self.run}-person-{identity}", FakeEmbedder().template(identity))

    def _alerted(self, alert: Alert) -> tuple[int, str]:
        return int(alert.camera.rpartition("/")[2]), alert.entry.removeprefix(f"{self.run}-")


@pytest.fixture(scope="module", autouse=True)
def portable_eyes(ray_connection: Any) -> Iterator[None]:
    """Actors' processes cannot import this file, so what is defined here travels whole."""
    here = sys.modules[__name__]
    ray_connection.cloudpickle.register_pickle_by_value(here)
    yield
    ray_connection.cloudpickle.unregister_pickle_by_value(here)


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


def serving(status: RunStatus) -> bool:
    """Whether a run is up with everybody on the list."""
    assert not status.failure
    return status.ready and sum(shard.entries for shard in status.shards if shard.replica == 0) >= len(LISTED)


def work(status: RunStatus) -> WorkReport:
    """What a run has done."""
    return msgspec.msgpack.decode(status.work, type=WorkReport)


def scraped(status: RunStatus, metric: Metric) -> list[float]:
    """What each worker exports of a metric, summed over its labels."""
    sums = []
    for worker in status.workers:
        with urlopen(f"http://127.0.0.1:{worker.metrics_port}/metrics", timeout=10) as response:
            families = text_string_to_metric_families(response.read().decode())
        sums.append(sum(sample.value for each in families if each.name == metric.name for sample in each.samples))
    return sums


def shards_by_name(supervision: Supervision) -> dict[str, ShardStatus]:
    """The replicas of a run."""
    return {shard.name: shard for shard in supervision.status().shards}


def kill_shard(supervision: Supervision, shard: int) -> set[int]:
    """End all replicas of a shard at once; their process ids."""
    pids = {each.pid for each in supervision.status().shards if each.shard == shard}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


class ObjectStore:
    """Ray's object store on this machine, and everything that Ray writes into its folder."""

    def __init__(self, ray: Any) -> None:
        (node,) = ray.nodes()
        self._address, self._port = node["NodeManagerAddress"], node["NodeManagerPort"]
        self._session = Path(ray._private.worker.global_worker.node.get_session_dir_path())
        raylets = [each for each in psutil.process_iter(["name"]) if each.info["name"] == "raylet"]
        (self._raylet,) = [each.pid for each in raylets if str(self._session) in " ".join(each.cmdline())]

    def usage(self) -> tuple[int, int]:
        """Bytes in the store now, and bytes that ever entered it beyond the 8 of each process that connects to it."""
        from ray._private.internal_api import node_stats  # noqa: PLC0415  # as in the fixture

        stats: Any = node_stats(self._address, self._port, include_memory_info=False)  # type: ignore[no-untyped-call]  # Ray's own
        store = stats.store_stats
        greetings = GREETING_BYTES * store.cumulative_created_objects
        return int(store.object_store_bytes_used), int(store.cumulative_created_bytes - greetings)

    def holds(self, canary: bytes) -> bool:
        """Whether these bytes lie in the store's memory or in any file of the session."""
        memory = list(self._memory())
        assert memory, "the store's memory was not found"
        files = [path for path in self._session.rglob("*") if path.is_file() and not path.is_symlink()]
        assert files
        return any(_contains(path, canary) for path in (*memory, *files))

    def _memory(self) -> Iterator[Path]:
        """Plasma maps files that it has deleted already; its descriptors still lead to them."""
        for descriptor in Path(f"/proc/{self._raylet}/fd").iterdir():
            with suppress(OSError):
                if "plasma" in str(descriptor.readlink()):
                    yield descriptor


def _contains(path: Path, canary: bytes) -> bool:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(canary) >= 0
    except (ValueError, FileNotFoundError):
        return False  # an empty file, or one that went away


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
