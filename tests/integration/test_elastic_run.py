"""An elastic run on Ray and Kafka: it grows with its load, shrinks after it, and accounts for every frame."""

import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.actors.report import WorkReport
from pipeline.actors.run_plan import RunStatus
from pipeline.catalog.topics import FRAMES
from pipeline.errors import BrokerError
from pipeline.records import Detections, Frame, OutgoingRecord, WatchlistEntry
from pipeline.runtime.composition import Looking, run_plan
from pipeline.runtime.settings import Kafka, Matching, Overload, Run, Scaling, Settings
from pipeline.runtime.supervision import Supervision, supervised
from pipeline.runtime.taps import AlertTap, CustodyAudit
from pipeline.runtime.targets import Targets
from pipeline.runtime.topics import create
from pipeline.streams.client import Connection
from pipeline.streams.groups import begin_at
from pipeline.streams.lag import GroupLag
from pipeline.streams.writer import RecordWriter
from pipeline.testing.align import align
from pipeline.testing.detector import FakeDetector
from pipeline.testing.embedder import FakeEmbedder
from pipeline.testing.pictures import jpeg
from pipeline.vision.decode import decode_jpeg
from pipeline.wire import frames as frame_wire
from pipeline.wire import watchlist as watchlist_wire

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("portable")]

Eventually = Callable[..., None]

START_SECONDS = 90.0
PARTITIONS = 4
SECONDS_PER_FRAME = 0.05
"""What a frame costs a worker, so that it carries 20 per second, however fast the machine is."""
LOAD = 30.0
"""Frames per second: more than one worker carries, less than two."""
LISTED = range(8)
COOL_DOWN_SECONDS = 600.0
"""Longer than any camera sends, so that each person is one pass at each, however long a worker takes to start."""
BACKLOG_SECONDS = 120.0
"""What two workers may take for the frames that one could not meet while the other started."""


class SlowDetector(FakeDetector):
    """As long at each frame as a large network on a small processor."""

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """See the port."""
        time.sleep(SECONDS_PER_FRAME * len(images))
        return super().detect(images)


def slow_eyes(_: Settings) -> Looking:
    """Eyes for the pictures of `pipeline.testing` that know everybody and take their time."""
    return Looking(decode_jpeg, SlowDetector(), align, FakeEmbedder(), 0.9)


class Load:
    """A camera per partition, which send together `LOAD` frames per second, each with the next person on the list."""

    def __init__(self, kafka: Connection, run: str) -> None:
        self._writer = RecordWriter(kafka)
        self._run = run
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.sequences: Counter[int] = Counter()
        self._writer.write([watchlist_wire.encode(self._entry(each), 128) for each in LISTED])

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._writer.write([watchlist_wire.encode_removal(self._entry(each).entry) for each in LISTED])
        self._writer.close()

    def begin(self) -> None:
        """Send from now on."""
        self._thread.start()

    def end(self) -> None:
        """Send no more; returns when the last frame is in Kafka."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def planted(self) -> list[tuple[str, str]]:
        """(camera, entry) of each pass."""
        pairs = {
            (f"{self._run}/{camera}", self._entry(sequence % len(LISTED)).entry)
            for camera, count in self.sequences.items()
            for sequence in range(count)
        }
        return sorted(pairs)

    def _send(self) -> None:
        pictures = [jpeg(each) for each in LISTED]
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due += PARTITIONS / LOAD
            for camera in range(PARTITIONS):
                number = self.sequences[camera]
                frame = Frame(f"{self._run}/{camera}", "r", number, time.time_ns(), pictures[number % len(LISTED)])
                key, value, headers = frame_wire.encode(frame)
                self._writer.write([OutgoingRecord(FRAMES, key, value, headers, camera)])
                self.sequences[camera] += 1

    def _entry(self, identity: int) -> WatchlistEntry:
        return WatchlistEntry(f"{self._run}-person-{identity}", FakeEmbedder().template(identity))


def running(supervision: Supervision) -> list[int]:
    """The slots whose workers consume."""
    status: RunStatus = supervision.status()
    assert not status.failure
    return [worker.slot for worker in status.workers if worker.state == "running"]


def exported(supervision: Supervision) -> dict[str, float]:
    """The pool's metrics, scraped where the run's targets say that its supervisor is."""
    targets = Targets("127.0.0.1", "run", "127.0.0.1")
    targets.update(supervision.status())
    (address,) = next(group.targets for group in targets.groups() if group.labels["role"] == "supervisor")
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5.0) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_a_pool_grows_with_its_load_and_shrinks_after_it(
    ray_connection: Any, kafka: Connection, prefix: str, eventually: Eventually
) -> None:
    """Between 1 and 2 workers: frames wait for one, a second comes, the backlog goes, and after the load so does the
    second. Every frame is accounted for once and every pass alerted once, over both changes; nobody counts as dead."""
    run = f"{prefix}run"
    settings = Settings(
        kafka=Kafka(brokers=kafka.brokers),
        run=Run(name=run, group=run, partitions=PARTITIONS),
        scaling=Scaling(min=1, max=2, target_lag_seconds=1.0, interval_seconds=5.0),
        matching=Matching(shards=1, cool_down_seconds=COOL_DOWN_SECONDS),
        overload=Overload(policy="block"),
    )
    create(settings)
    audit = CustodyAudit(kafka, run)
    begin_at(kafka, run, FRAMES, audit.frame_starts)
    tap = AlertTap(kafka, run)
    lag = GroupLag(kafka, topic=FRAMES, group=run)
    with supervised(run_plan(settings, run, slow_eyes)) as supervision, Load(kafka, run) as load:
        eventually(lambda: supervision.status().ready, "the run", START_SECONDS)
        eventually(lambda: sum(shard.entries for shard in supervision.status().shards) >= len(LISTED), "the watchlist")
        assert running(supervision) == [0]
        load.begin()
        eventually(lambda: running(supervision) == [0, 1], "a second worker", START_SECONDS)
        grown = supervision.status().pool
        assert grown is not None
        assert (grown.wanted, grown.grown, grown.shrunk) == (2, 1, 0)
        assert grown.latest is not None
        assert grown.latest.reason.startswith("frames waited ")
        told = exported(supervision)
        assert told['lamppost_pool_workers{state="wanted"}'] == 2
        assert told['lamppost_pool_changes_total{direction="up"}'] == 1
        load.end()
        assert lag.frames() > 0
        eventually(lambda: lag.frames() == 0, "the end of the backlog", BACKLOG_SECONDS)
        eventually(lambda: running(supervision) == [0], "the end of the second worker", 60.0)
        eventually(lambda: not ray_actor_exists(ray_connection, run, "worker-1"), "the end of its process")
        final = supervision.stop(20.0)
    assert not final.failure
    assert final.replaced == 0
    assert final.pool is not None
    assert (final.pool.grown, final.pool.shrunk, final.pool.trouble) == (1, 1, "")
    sent = sum(load.sequences.values())
    outcomes = msgspec.msgpack.decode(final.work, type=WorkReport).outcomes
    assert outcomes == {"processed": sent}
    alerted = sorted((alert.camera, alert.entry) for alert in tap.finish())
    assert alerted == load.planted
    findings = audit.findings()
    audit.close()
    assert findings.problems == []
    assert findings.consumed == sent


def ray_actor_exists(ray: Any, run: str, name: str) -> bool:
    """Whether the run has an actor of this name."""
    try:
        ray.get_actor(name, namespace=run)
    except ValueError:
        return False
    return True


def test_the_lag_of_a_group_is_asked_from_outside_it(kafka: Connection, prefix: str) -> None:
    """All that the log holds while nothing is committed, then what lies behind the offsets; no group is no fault."""
    create(Settings(kafka=Kafka(brokers=kafka.brokers), run=Run(partitions=PARTITIONS)))
    audit = CustodyAudit(kafka, prefix)
    ends = dict(audit.frame_starts)
    audit.close()
    group = f"{prefix}group"
    lag = GroupLag(kafka, topic=FRAMES, group=group)
    everything = lag.frames()
    writer = RecordWriter(kafka)
    writer.write([OutgoingRecord(FRAMES, b"c", b"x", (), 0)] * 3 + [OutgoingRecord(FRAMES, b"c", b"x", (), 1)])
    writer.close()
    assert lag.frames() == everything + 4
    begin_at(kafka, group, FRAMES, ends)
    assert lag.frames() == 4
    begin_at(kafka, group, FRAMES, ends | {0: ends[0] + 2})
    assert lag.frames() == 2


def test_a_topic_that_is_missing_is_named(kafka: Connection, prefix: str) -> None:
    """With how to make it."""
    with pytest.raises(BrokerError, match=f"no topic {prefix}none"):
        GroupLag(kafka, topic=f"{prefix}none", group="g").frames()
