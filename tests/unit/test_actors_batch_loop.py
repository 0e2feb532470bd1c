"""The worker's loop on a broker in memory: every frame gets one outcome, every pass one alert, whatever happens."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from memory_run import COOLDOWN_SECONDS, LISTED, MemoryRun, Worker
from numpy.typing import NDArray

from pipeline.actors import batch_loop
from pipeline.actors.batch_loop import ABORTS_BEFORE_GIVING_UP
from pipeline.actors.settlement import FRAME_LIFETIME_SECONDS
from pipeline.catalog import metrics
from pipeline.catalog.outcomes import Outcome
from pipeline.catalog.topics import DEAD_LETTERS, FRAMES
from pipeline.core.deadlines import Backoff
from pipeline.core.pressure import Policy
from pipeline.errors import BrokerError, Fenced, ShardUnavailable, TransactionAborted
from pipeline.records import Batch, Detections, OutgoingRecord, Probes, SearchResult
from pipeline.testing.detector import FakeDetector
from pipeline.testing.frame_source import FakeFrameSource
from pipeline.testing.pictures import jpeg
from pipeline.wire import dead_letters as dead_letter_wire

Eventually = Callable[..., None]


@pytest.fixture
def run() -> Iterator[MemoryRun]:
    """A run without workers; those that a test starts end with it."""
    with MemoryRun() as started:
        yield started


def test_one_pass_is_one_alert_until_the_cool_down_is_over(run: MemoryRun, eventually: Eventually) -> None:
    """Ten frames of a listed person alert once, with the first; the same person 30 s later alerts again."""
    run.worker()
    for _ in range(10):
        run.send(3)
    eventually(lambda: run.settled)
    assert [(alert.entry, alert.sequence) for alert in run.alerts] == [("person-3", 0)]
    run.send(3, seconds=29.0)
    run.send(3, seconds=2.0)
    eventually(lambda: run.settled)
    assert [(alert.entry, alert.sequence) for alert in run.alerts] == [("person-3", 0), ("person-3", 11)]
    assert run.audit().balanced


def test_people_and_cameras_have_cool_downs_of_their_own(run: MemoryRun, eventually: Eventually) -> None:
    """Two listed people in one picture alert both, at each camera; who is not listed never does."""
    run.worker()
    for partition in (0, 1):
        for _ in range(3):
            run.send(1, 2, 12, partition=partition)
    eventually(lambda: run.settled)
    assert run.alerted == [(camera, entry) for camera in ("cam/0", "cam/1") for entry in ("person-1", "person-2")]


def test_totals_and_metrics_say_what_was_done(run: MemoryRun, eventually: Eventually) -> None:
    """Frames, faces and alerts per camera, every stage measured once per batch, and no lag left."""
    worker = run.worker(batch_limit=1)
    for _ in range(5):
        run.send(1, 12)
    eventually(lambda: worker.work.batches == 5)
    place = worker.work.places["cam/0"]
    assert (place.frames, place.faces, place.alerts, place.shed) == (5, 10, 1, 0)
    assert (worker.work.faces, worker.work.alerts, worker.work.alert_latency.count) == (10, 1, 1)
    told = worker.telemetry
    assert told.value(metrics.FRAMES, outcome="processed", place="cam/0") == 5
    for stage in ("consume", "decode", "detect", "embed", "search", "commit"):
        assert len(told.observations(metrics.STAGE_SECONDS, stage=stage)) == 5, stage
    eventually(lambda: worker.loop.lag == {0: 0, 1: 0})


def test_frames_over_the_age_limit_are_shed(run: MemoryRun, eventually: Eventually) -> None:
    """Under shed-oldest, when it is their turn; they are not looked at and count as shed, by camera."""
    for _ in range(6):
        run.send(1)
    run.clock.advance(10.0)
    run.send(2)
    worker = run.worker()
    eventually(lambda: run.settled)
    assert run.coverage.counts == _counts(processed=1, shed=6)
    assert run.alerted == [("cam/0", "person-2")]
    assert sum(receipt.shed_by_camera.get("cam/0", 0) for receipt in run.receipts) == 6
    eventually(lambda: worker.work.places["cam/0"].shed == 6)
    assert run.audit().balanced


def test_nothing_is_shed_under_block(run: MemoryRun, eventually: Eventually) -> None:
    """However old the frames are: the backlog waits."""
    for _ in range(6):
        run.send(1)
    run.clock.advance(100.0)
    run.worker(policy=Policy.BLOCK)
    eventually(lambda: run.settled)
    assert run.coverage.counts == _counts(processed=6)
    assert run.alerted == [("cam/0", "person-1")]


def test_retention_that_was_faster_is_an_outcome(run: MemoryRun, eventually: Eventually) -> None:
    """Offsets below the log start are expired, counted and committed like a batch."""
    for _ in range(6):
        run.send(12)
    run.worker(batch_limit=2)
    eventually(lambda: run.settled)
    with run.broker.changed:
        for _ in range(6):
            run.send(12)
        run.broker.delete_below(FRAMES, 0, 9)
    eventually(lambda: run.settled)
    assert run.coverage.counts[Outcome.EXPIRED] == 3
    assert run.audit().balanced


def test_garbage_is_dead_lettered_and_the_loop_goes_on(run: MemoryRun, eventually: Eventually) -> None:
    """Records that are no frame, and pictures that do not decode: their metadata is kept, never their bytes."""
    canary = b"canary-of-the-payload"
    worker = run.worker(batch_limit=3)
    run.send(1)
    run.broker.add(OutgoingRecord(FRAMES, b"cam/0", canary, (), 0))
    run.broker.add(OutgoingRecord(FRAMES, None, None, (), 0))
    run.broker.add(OutgoingRecord(FRAMES, b"\xff\xfe", b"", (("schema-version", b"99"),), 0))
    run.send(picture=b"\xff\xd8\xff" + canary)
    run.send(picture=jpeg(1)[:200])
    run.send(2)
    eventually(lambda: run.settled)
    assert run.coverage.counts == _counts(processed=2, dead_lettered=5)
    assert run.alerted == [("cam/0", "person-1"), ("cam/0", "person-2")]
    raw = run.broker.committed_records(DEAD_LETTERS)
    assert canary not in b"".join(record.value or b"" for record in raw)
    letters = [dead_letter_wire.decode(r.value, r.headers) for r in raw]
    assert [letter.offset for letter in letters] == [1, 2, 3, 4, 5]
    assert worker.loop.failure is None
    assert run.audit().balanced


@pytest.mark.parametrize("aborts", [1, 3])
def test_an_aborted_transaction_loses_and_doubles_nothing(run: MemoryRun, eventually: Eventually, aborts: int) -> None:
    """The worker reads again from the committed offsets; alerts and receipts are there exactly once."""
    worker = run.worker(batch_limit=2)
    for _ in range(4):
        run.send(1)
    eventually(lambda: run.settled)
    run.broker.abort_next(aborts)
    for identity in (1, 2, 2, 3, 3, 3, 12):
        run.send(identity)
        run.send(identity, partition=1)
    eventually(lambda: run.settled)
    assert run.audit().balanced
    assert run.alerted == [(camera, f"person-{entry}") for camera in ("cam/0", "cam/1") for entry in (1, 2, 3)]
    assert len({alert.id for alert in run.alerts}) == 6
    assert worker.work.aborted == aborts
    assert worker.telemetry.value(metrics.TRANSACTIONS_ABORTED) == aborts


def test_an_aborted_alert_does_not_start_a_cool_down(run: MemoryRun, eventually: Eventually) -> None:
    """The pass whose first alert was rolled back is alerted by the same frame when it is read again."""
    run.broker.abort_next()
    run.worker(batch_limit=1)
    run.send(5)
    run.send(5)
    eventually(lambda: run.settled)
    assert [(alert.entry, alert.sequence) for alert in run.alerts] == [("person-5", 0)]


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rolled back transactions follow each other at once."""
    monkeypatch.setattr(batch_loop, "BACKOFF", Backoff(first=0.001, limit=0.001))


@pytest.mark.usefixtures("short_pauses")
def test_transactions_that_are_always_rolled_back_end_the_loop(run: MemoryRun, eventually: Eventually) -> None:
    """As without a topic or the right to write to it: the worker says so in place of trying for ever."""
    run.broker.abort_next(10**6)
    worker = run.worker()
    run.send(1)
    eventually(lambda: worker.loop.failure)
    with pytest.raises(BrokerError, match="rolled back: as the test wished; so were the 7 before it"):
        raise worker.loop.failure  # type: ignore[misc]  # it is there by now
    assert not isinstance(worker.loop.failure, TransactionAborted)
    assert worker.work.aborted == ABORTS_BEFORE_GIVING_UP
    assert worker.loop.stop(5.0)
    assert run.receipts == []


@pytest.mark.usefixtures("short_pauses")
def test_a_commit_between_ends_the_count_of_rolled_back_transactions(run: MemoryRun, eventually: Eventually) -> None:
    """They pass, however many there are in a long life."""
    worker = run.worker()
    for _ in range(3):
        run.broker.abort_next(ABORTS_BEFORE_GIVING_UP - 1)
        run.send(1)
        eventually(lambda: run.settled or worker.loop.failure)
    assert worker.loop.failure is None
    eventually(lambda: worker.loop.trouble == "")
    assert worker.work.aborted == 3 * (ABORTS_BEFORE_GIVING_UP - 1)
    assert run.audit().balanced


def test_a_pause_after_a_rollback_keeps_the_worker_in_its_group(
    run: MemoryRun, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on polling, says what it waits for, gives partitions up when asked to, and stops when told to."""
    monkeypatch.setattr(batch_loop, "BACKOFF", Backoff(first=1_000.0, limit=1_000.0))
    run.broker.abort_next()
    worker = run.worker(batch_limit=1, source=CountingSource, policy=Policy.BLOCK)
    for _ in range(12):
        run.send(1)
    eventually(lambda: worker.loop.trouble)
    assert "as the test wished" in worker.loop.trouble
    assert isinstance(worker.source, CountingSource)
    polls = worker.source.polls
    eventually(lambda: worker.source.polls > polls + 2)  # type: ignore[union-attr]  # as above
    second = run.worker(1, policy=Policy.BLOCK)
    eventually(lambda: second.owns(1), "a rebalance in the pause")
    assert worker.loop.stop(5.0)
    eventually(lambda: run.settled)
    assert run.audit().balanced


class CountingSource(FakeFrameSource):
    """Counts how often it is polled."""

    polls = 0

    def poll(self, timeout: float) -> Batch | None:
        """See the port."""
        self.polls += 1
        return super().poll(timeout)


class AwayGallery:
    """A gallery whose shard stays away until it is told to come back."""

    def __init__(self, run: MemoryRun) -> None:
        self._run = run
        self.back = threading.Event()
        self.asked = threading.Event()

    def search(self, probes: Probes, k: int) -> SearchResult:
        """As under `wait`: late, and then not at all."""
        self.asked.set()
        if not self.back.wait(0.01):
            raise ShardUnavailable("shard-0 did not answer")
        return self._run.gallery.search(probes, k)


class FaintGallery(AwayGallery):
    """A gallery that never answers for the frame captured at one instant."""

    def __init__(self, run: MemoryRun, capture_ns: int) -> None:
        super().__init__(run)
        self._capture_ns = capture_ns

    def search(self, probes: Probes, k: int) -> SearchResult:
        """As a shard that is back for the next batch."""
        if self._capture_ns in probes.capture_ns:
            return super().search(probes, k)
        return self._run.gallery.search(probes, k)


class NotingSource(FakeFrameSource):
    """Notes when it is paused and resumed."""

    notes: list[str]

    def __init__(self, *args: Any, **options: Any) -> None:
        self.notes = []
        super().__init__(*args, **options)

    def pause(self) -> None:
        """See the port."""
        self.notes.append("pause")
        super().pause()

    def resume(self) -> None:
        """See the port."""
        self.notes.append("resume")
        super().resume()


def test_a_lost_shard_pauses_consumption_until_it_is_back(
    run: MemoryRun, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under `wait` the worker stays in its group, reads no further, and goes on where it was."""
    monkeypatch.setattr("pipeline.actors.batch_loop.PATIENCE_SECONDS", 0.0)
    gallery = AwayGallery(run)
    worker = run.worker(gallery=gallery, batch_limit=1, source=NotingSource, policy=Policy.BLOCK)
    for _ in range(12):
        run.send(1)
    eventually(lambda: worker.source is not None and worker.source.notes == ["pause"])  # type: ignore[attr-defined]
    assert run.receipts == []
    assert worker.loop.lag[0] > 0
    gallery.back.set()
    eventually(lambda: run.settled)
    assert run.alerted == [("cam/0", "person-1")]
    assert run.audit().balanced
    assert worker.source.notes[:2] == ["pause", "resume"]  # type: ignore[union-attr]


def test_a_part_of_the_watchlist_is_said_in_receipt_and_alert(run: MemoryRun, eventually: Eventually) -> None:
    """Under `degrade` the result says which fraction was searched, and so does everything that follows from it."""
    run.gallery.fraction_searched = 0.5
    worker = run.worker()
    run.send(1)
    eventually(lambda: worker.work.batches)
    assert [alert.fraction_searched for alert in run.alerts] == [0.5]
    assert [receipt.fraction_searched for receipt in run.receipts] == [0.5]
    assert worker.telemetry.value(metrics.FRACTION_SEARCHED) == 0.5


def test_a_fenced_worker_ends_and_its_successor_does_the_work(run: MemoryRun, eventually: Eventually) -> None:
    """The loop stops with the failure said, out of the group, without having committed anything more."""
    worker = run.worker()
    run.send(1)
    eventually(lambda: run.settled)
    successor = run.outbox()
    run.send(2)
    eventually(lambda: isinstance(worker.loop.failure, Fenced))
    eventually(lambda: not run.group.is_member(worker.member))
    assert not run.settled
    assert worker.loop.stop(5.0)
    run.worker(outbox=successor)
    eventually(lambda: run.settled)
    assert run.alerted == [("cam/0", "person-1"), ("cam/0", "person-2")]
    assert run.audit().balanced


class DyingSource(FakeFrameSource):
    """A consumer with a fatal error, after a first batch."""

    def poll(self, timeout: float) -> Batch | None:
        """See the port."""
        if self.assignment and self.lag()[0] == 0:
            raise BrokerError("Kafka at here: reading frames: fatal")
        return super().poll(timeout)


def test_a_fatal_consumer_error_ends_the_loop(run: MemoryRun, eventually: Eventually) -> None:
    """With the broker's own words, and without a thread left."""
    run.send(1)
    worker = run.worker(source=DyingSource)
    eventually(lambda: isinstance(worker.loop.failure, BrokerError))
    assert worker.loop.stop(5.0)


@pytest.mark.parametrize("stage", ["decode", "detector", "embedder"])
def test_a_fault_in_any_stage_ends_the_loop_with_nothing_committed(
    run: MemoryRun, eventually: Eventually, stage: str
) -> None:
    """A fault of the program is no frame's fault: it ends the worker, and the frames stay for its successor."""

    class Broken:
        dimension, version = 128, "broken"

        def __call__(self, _: Any) -> Any:
            raise ZeroDivisionError(stage)

        detect = embed = __call__

    worker = run.worker(**{stage: Broken()})
    run.send(1)
    eventually(lambda: isinstance(worker.loop.failure, ZeroDivisionError))
    assert worker.loop.stop(5.0)
    run.worker()
    eventually(lambda: run.settled)
    assert run.alerted == [("cam/0", "person-1")]


class HeldOutbox:
    """Commits only while it is let."""

    def __init__(self, run: MemoryRun) -> None:
        self._outbox = run.outbox()
        self.waiting = threading.Event()
        self.free = threading.Event()

    def commit(self, records: Sequence[OutgoingRecord], offsets: Mapping[int, int], membership: Any) -> None:
        """See the port."""
        self.waiting.set()
        assert self.free.wait(20.0)
        self._outbox.commit(records, offsets, membership)

    def close(self) -> None:
        """See the port."""
        self._outbox.close()


def test_stop_finishes_what_is_in_hand(run: MemoryRun, eventually: Eventually) -> None:
    """Every batch that was consumed is committed, nothing more is, and the worker has left its group."""
    outbox = HeldOutbox(run)
    worker = run.worker(outbox=outbox, batch_limit=1)
    for _ in range(12):
        run.send(1)
    eventually(lambda: outbox.waiting.is_set() and _consumed(worker) == 5, "a pipeline that is full")
    ended: list[bool] = []
    stopping = threading.Thread(target=lambda: ended.append(worker.loop.stop(20.0)))
    stopping.start()
    outbox.free.set()
    stopping.join(20.0)
    assert ended == [True]
    assert worker.loop.failure is None
    in_hand = _consumed(worker)
    assert run.group.committed[0] == in_hand < 12
    assert run.coverage.consumed == in_hand
    assert not run.group.is_member(worker.member)


def test_a_drain_that_cannot_end_gives_up_at_its_deadline(run: MemoryRun, eventually: Eventually) -> None:
    """A batch that finds no shard is not committed, and nothing behind it either, though that could be searched."""
    run.send(1)
    gallery = FaintGallery(run, run.clock.now_ns())
    worker = run.worker(gallery=gallery, batch_limit=1, policy=Policy.BLOCK)
    for _ in range(6):
        run.send(1)
    eventually(lambda: gallery.asked.is_set() and _consumed(worker) == 5, "a pipeline that is full")
    assert not worker.loop.stop(0.1)
    assert worker.loop.failure is None
    assert run.receipts == []
    run.worker(policy=Policy.BLOCK)
    eventually(lambda: run.settled)
    assert run.audit().balanced


class HangingDetector(FakeDetector):
    """A network that does not come back until it is let."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.free = threading.Event()

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """See the port."""
        self.asked.set()
        assert self.free.wait(20.0)
        return super().detect(images)


@pytest.mark.parametrize("frames", [2, 3], ids=["while the end is handed on", "while a batch is handed on"])
def test_a_drain_behind_a_stage_that_hangs_leaves_the_group_at_its_deadline(
    run: MemoryRun, eventually: Eventually, frames: int
) -> None:
    """The partitions are free for others, nothing is committed afterwards, and no thread outlives the stage."""
    detector = HangingDetector()
    worker = run.worker(detector=detector, batch_limit=1, policy=Policy.BLOCK)
    for _ in range(frames):
        run.send(1)
    eventually(lambda: detector.asked.is_set() and _consumed(worker) == frames, "stages that are full")
    assert not worker.loop.stop(0.1)
    assert not run.group.is_member(worker.member)
    detector.free.set()
    eventually(lambda: not [thread for thread in worker.loop._threads if thread.is_alive()], "the end of all threads")
    assert worker.loop.failure is None
    assert run.receipts == []


def test_untrusted_cameras_of_partitions_that_went_are_not_counted(run: MemoryRun, eventually: Eventually) -> None:
    """They are another worker's to count; those that are still read here count again with their next frame."""
    first = run.worker(0, policy=Policy.BLOCK)
    eventually(lambda: first.owns(0, 1))
    run.clock.advance(1.0)
    for partition in (0, 1):
        run.send(1, partition=partition, capture_behind=60.0)
    eventually(lambda: first.telemetry.value(metrics.CLOCK_UNTRUSTED) == 2)
    eventually(lambda: run.settled, "nothing that is read again")
    second = run.worker(1, policy=Policy.BLOCK)
    eventually(lambda: first.owns(0) and second.owns(1))
    eventually(lambda: first.telemetry.value(metrics.CLOCK_UNTRUSTED) == 0)
    run.send(1, partition=0, capture_behind=60.0)
    run.send(1, partition=1, capture_behind=60.0)
    for worker in (first, second):
        eventually(lambda worker=worker: worker.telemetry.value(metrics.CLOCK_UNTRUSTED) == 1)


def test_the_cool_down_forgets_what_no_frame_can_meet_any_more(run: MemoryRun, eventually: Eventually) -> None:
    """While frames come in, and not at assignments alone, which may be months apart."""
    worker = run.worker()
    for identity in LISTED:
        run.send(identity)
    eventually(lambda: worker.settlement.remembered == len(LISTED))
    run.send(12, seconds=COOLDOWN_SECONDS + FRAME_LIFETIME_SECONDS + 1.0)
    eventually(lambda: worker.settlement.remembered == 0)
    assert run.audit().balanced


def test_a_worker_that_was_never_started_stops(run: MemoryRun) -> None:
    """There is nothing to wait for."""
    assert run.unstarted().loop.stop(0.0)


def _consumed(worker: Worker) -> int:
    return sum(span.stage == "consume" for span in worker.trace.spans)


def _counts(**counts: int) -> dict[Outcome, int]:
    return {outcome: counts.get(outcome.value, 0) for outcome in Outcome}
