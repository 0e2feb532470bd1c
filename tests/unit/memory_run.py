"""Workers of one run on the broker in memory, and a camera to feed them; shared by the tests of `pipeline.actors`."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.actors.batch import Trace
from pipeline.actors.batch_loop import BatchLoop
from pipeline.actors.intake import Intake
from pipeline.actors.report import Ledger, WorkReport
from pipeline.actors.settlement import Settlement
from pipeline.actors.sight import Sight
from pipeline.catalog.outcomes import Outcome
from pipeline.catalog.topics import ALERTS, CUSTODY, DEAD_LETTERS, FRAMES
from pipeline.core.alerting import Criteria
from pipeline.core.clocks import ClockTrust
from pipeline.core.custody import Audit, Coverage
from pipeline.core.pressure import Overload, Policy
from pipeline.ports import Assigned, Detector, Embedder, Gallery, Outbox, Revoked
from pipeline.records import Alert, ConsumedRecord, Frame, OutgoingRecord, Receipt, WatchlistEntry
from pipeline.testing.alert_history import FakeAlertHistory
from pipeline.testing.align import align
from pipeline.testing.broker import MemoryBroker
from pipeline.testing.clock import FakeClock
from pipeline.testing.detector import FakeDetector
from pipeline.testing.embedder import FakeEmbedder
from pipeline.testing.frame_source import FakeFrameSource
from pipeline.testing.gallery import FakeGallery
from pipeline.testing.outbox import FakeOutbox
from pipeline.testing.pictures import jpeg
from pipeline.testing.shard import FakeShard
from pipeline.testing.telemetry import FakeTelemetry
from pipeline.vision.decode import decode_jpeg
from pipeline.wire import alerts as alert_wire
from pipeline.wire import frames as frame_wire
from pipeline.wire import receipts as receipt_wire

GROUP = "g"
RUN = "run"
LISTED = range(8)
"""People of `pipeline.testing.pictures` who are on the watchlist, as ``person-0`` and so on; 8 to 15 are not."""
COOLDOWN_SECONDS = 30.0
MAX_AGE_SECONDS = 2.0
PARTITIONS = 2


class Worker:
    """One batch loop with what a test may want to look at or to replace."""

    def __init__(
        self,
        run: "MemoryRun",
        slot: int,
        *,
        policy: Policy = Policy.SHED_OLDEST,
        batch_limit: int = 4,
        drops: tuple[tuple[int, int], ...] = (),
        decode: Callable[[bytes], NDArray[np.uint8]] = decode_jpeg,
        detector: Detector | None = None,
        embedder: Embedder | None = None,
        gallery: Gallery | None = None,
        outbox: Outbox | None = None,
        intake: type[Intake] = Intake,
        sight: type[Sight] = Sight,
        source: type[FakeFrameSource] = FakeFrameSource,
        on_revoked: Callable[[], None] = lambda: None,
    ) -> None:
        self._broker = run.broker
        self.telemetry = FakeTelemetry()
        self.trace = Trace(self.telemetry)
        self.ledger = Ledger(lambda camera: camera, self.telemetry)
        self.source: FakeFrameSource | None = None
        embedder = embedder or run.embedder
        self.settlement = Settlement(
            gallery=gallery or run.gallery,
            outbox=outbox or run.outbox(slot),
            history=FakeAlertHistory(run.broker, topic=ALERTS, decode=_cooldown_of),
            criteria=Criteria(threshold=0.9, top_k=3, embedder_version=embedder.version, run=RUN, slot=slot),
            cooldown_seconds=COOLDOWN_SECONDS,
            clock=run.clock,
            ledger=self.ledger,
            trace=self.trace,
        )

        def open_source(assigned: Assigned, revoked: Revoked, lost: Revoked) -> FakeFrameSource:
            def told(partitions: Any) -> None:
                revoked(partitions)
                on_revoked()

            self.source = source(
                run.broker,
                topic=FRAMES,
                group=GROUP,
                assigned=assigned,
                revoked=told,
                lost=lost,
                batch_limit=batch_limit,
                now_ns=run.clock.now_ns,
                drops=drops,
            )
            return self.source

        self.loop = BatchLoop(
            open_source=open_source,
            intake=intake(
                decode=decode,
                threads=2,
                overload=Overload(policy, int(MAX_AGE_SECONDS * 1e9)),
                clocks=ClockTrust(10 * 10**9),
                clock=run.clock,
            ),
            sight=sight(detector=detector or FakeDetector(), align=align, embedder=embedder, trace=self.trace),
            settlement=self.settlement,
            telemetry=self.telemetry,
            trace=self.trace,
        )

    @property
    def work(self) -> WorkReport:
        """What it says it has done."""
        return run_report(self.ledger)

    @property
    def member(self) -> int:
        """Its number in the group; 0 before it joined."""
        return 0 if self.source is None else self.source.member

    def owns(self, *partitions: int) -> bool:
        """Whether it reads exactly these partitions, as it and the group see it."""
        with self._broker.changed:
            group = self._broker.group(GROUP, FRAMES)
            shown = group.membership(self.member)
            owned = {number for number in range(PARTITIONS) if group.may_commit(shown, number)}
        return owned == set(self.loop.lag) == set(partitions)


class MemoryRun:
    """A broker, a clock that stands still, a watchlist, and the workers of one group; use it with `with`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.broker = MemoryBroker(
            {FRAMES: PARTITIONS, ALERTS: PARTITIONS, CUSTODY: 1, DEAD_LETTERS: 1}, self.clock.now_ns
        )
        self.group = self.broker.group(GROUP, FRAMES)
        self.embedder = FakeEmbedder()
        listed = [WatchlistEntry(f"person-{identity}", self.embedder.template(identity)) for identity in LISTED]
        self.gallery = FakeGallery(FakeShard(listed))
        self._sequences: Counter[str] = Counter()
        self._stack = ExitStack()

    def __enter__(self) -> "MemoryRun":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def outbox(self, slot: int = 0) -> FakeOutbox:
        """The transactional producer of a slot; a new one fences the one before."""
        return FakeOutbox(self.broker, topic=FRAMES, transactional_id=f"{RUN}.worker-{slot}")

    def worker(self, slot: int = 0, **options: Any) -> Worker:
        """A worker that has been started, and is stopped with the run."""
        worker = self.unstarted(slot, **options)
        worker.loop.start()
        return worker

    def unstarted(self, slot: int = 0, **options: Any) -> Worker:
        """A worker that somebody else starts; it is stopped with the run."""
        worker = Worker(self, slot, **options)
        self._stack.callback(worker.loop.stop, 0.0)
        return worker

    def send(
        self,
        *people: int,
        partition: int = 0,
        seconds: float = 0.1,
        picture: bytes | None = None,
        capture_behind: float = 0.0,
    ) -> int:
        """Let time pass and publish a frame of the camera of that partition; returns its offset.

        The camera's clock is `capture_behind` seconds slow.
        """
        self.clock.advance(seconds)
        camera = f"cam/{partition}"
        captured_ns = self.clock.now_ns() - int(capture_behind * 1e9)
        frame = Frame(camera, "r", self._sequences[camera], captured_ns, picture or jpeg(*people))
        self._sequences[camera] += 1
        key, value, headers = frame_wire.encode(frame)
        return self.broker.add(OutgoingRecord(FRAMES, key, value, headers, partition))

    @property
    def receipts(self) -> list[Receipt]:
        """The committed receipts."""
        return [receipt_wire.decode(r.key, r.value, r.headers) for r in self.broker.committed_records(CUSTODY)]

    @property
    def coverage(self) -> Coverage:
        """What the committed receipts cover."""
        coverage = Coverage()
        for receipt in self.receipts:
            coverage.add(receipt.ranges)
        return coverage

    def audit(self) -> Audit:
        """The committed receipts against everything that was published."""
        ends = {number: (0, self.broker.log(FRAMES, number).end) for number in self.broker.partitions(FRAMES)}
        return self.coverage.audit(ends)

    @property
    def settled(self) -> bool:
        """Whether every frame published so far has its outcome; a doubled one is not hidden by this."""
        return not self.audit().gaps

    @property
    def alerts(self) -> list[Alert]:
        """The committed alerts."""
        return [alert_wire.decode(r.key, r.value, r.headers) for r in self.broker.committed_records(ALERTS)]

    @property
    def alerted(self) -> list[tuple[str, str]]:
        """(camera, entry) of each committed alert, sorted."""
        return sorted((alert.camera, alert.entry) for alert in self.alerts)


def run_report(ledger: Ledger) -> WorkReport:
    """A ledger's totals as its supervisor reads them."""
    return msgspec.msgpack.decode(ledger.snapshot(), type=WorkReport)


def counts(**frames: int) -> dict[Outcome, int]:
    """The offsets of each outcome, as a coverage counts them: 0 of those that are not named."""
    return {outcome: frames.get(outcome.value, 0) for outcome in Outcome}


def _cooldown_of(record: ConsumedRecord) -> tuple[str, str, int]:
    return alert_wire.cooldown_key(record.value, record.headers)
