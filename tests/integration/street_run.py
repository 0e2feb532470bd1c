"""A run under its supervisor on a real Kafka and a real Ray, its cameras, and what it says of itself."""

import dataclasses
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import psutil
from prometheus_client.parser import text_string_to_metric_families

from pipeline.actors.report import WorkReport
from pipeline.actors.run_plan import RunStatus
from pipeline.actors.watchlist_shard import ShardParts, ShardStatus
from pipeline.catalog.metrics import Metric
from pipeline.catalog.topics import CUSTODY, FRAMES, WATCHLIST
from pipeline.core.replicas import Replica
from pipeline.core.sharding import shard_of
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
from pipeline.testing.pictures import jpeg
from pipeline.vision.decode import decode_jpeg
from pipeline.wire import frames as frame_wire
from pipeline.wire import receipts as receipt_wire
from pipeline.wire import watchlist as watchlist_wire

PARTITIONS = 4
LISTED = range(8)


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
