"""The worker's loop while something does not come: a shard that is away, a stage that hangs, and the end of a drain."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from memory_run import COOLDOWN_SECONDS, MemoryRun, Worker
from numpy.typing import NDArray

from pipeline.actors.settlement import FRAME_LIFETIME_SECONDS
from pipeline.core.clocks import MOST_TOLERANCE_SECONDS
from pipeline.core.pressure import Policy
from pipeline.errors import ShardUnavailable
from pipeline.records import Detections, OutgoingRecord, Probes, SearchResult
from pipeline.testing.detector import FakeDetector
from pipeline.testing.frame_source import FakeFrameSource

Eventually = Callable[..., None]


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
    eventually(lambda: worker.source is not None and worker.source.notes == ["pause"])  # type: ignore[attr-defined]  # it is a NotingSource
    assert run.receipts == []
    assert worker.loop.lag[0] > 0
    gallery.back.set()
    eventually(lambda: run.settled)
    assert run.alerted == [("cam/0", "person-1")]
    assert run.audit().balanced
    assert worker.source.notes[:2] == ["pause", "resume"]  # type: ignore[union-attr]  # it is there by now


def test_a_pass_that_a_lost_shard_divides_is_one_alert(run: MemoryRun, eventually: Eventually) -> None:
    """Frames wait in the worker for longer than they could live in Kafka, and meet the alert all the same."""
    gallery = AwayGallery(run)
    worker = run.worker(gallery=gallery, batch_limit=1, policy=Policy.BLOCK)
    for _ in range(3):
        run.send(1)
    eventually(lambda: gallery.asked.is_set() and sum(span.stage == "decode" for span in worker.trace.spans) == 3)
    run.clock.advance(COOLDOWN_SECONDS + FRAME_LIFETIME_SECONDS + MOST_TOLERANCE_SECONDS + 60.0)
    gallery.back.set()
    eventually(lambda: run.settled)
    assert [(alert.entry, alert.sequence) for alert in run.alerts] == [("person-1", 0)]
    assert run.audit().balanced


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
    eventually(lambda: outbox.waiting.is_set() and _consumed(worker) == 3, "a pipeline that is full")
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
    eventually(lambda: gallery.asked.is_set() and _consumed(worker) == 3, "a pipeline that is full")
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


@pytest.mark.parametrize("frames", [1, 2], ids=["while the end is handed on", "while a batch is handed on"])
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


def _consumed(worker: Worker) -> int:
    return sum(span.stage == "consume" for span in worker.trace.spans)
