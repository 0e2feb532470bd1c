"""The worker's loop and frames that are too old: they are shed when it is their turn, counted, and never looked at."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from memory_run import MemoryRun, counts

from pipeline.actors import batch_loop
from pipeline.actors.batch_loop import ENDED_LIMIT
from pipeline.core.pressure import Policy
from pipeline.records import Batch
from pipeline.testing.frame_source import FakeFrameSource
from pipeline.testing.pictures import jpeg
from pipeline.vision.decode import decode_jpeg

Eventually = Callable[..., None]


def test_frames_over_the_age_limit_are_shed(run: MemoryRun, eventually: Eventually) -> None:
    """Under shed-oldest, when it is their turn; they are not looked at and count as shed, by camera."""
    for _ in range(6):
        run.send(1)
    run.clock.advance(10.0)
    run.send(2)
    worker = run.worker()
    eventually(lambda: run.settled)
    assert run.coverage.counts == counts(processed=1, shed=6)
    assert run.alerted == [("cam/0", "person-2")]
    assert sum(receipt.shed_by_camera.get("cam/0", 0) for receipt in run.receipts) == 6
    eventually(lambda: worker.work.places["cam/0"].shed == 6)
    assert run.audit().balanced


def test_others_take_the_place_of_frames_that_are_shed_and_those_are_not_decoded(
    run: MemoryRun, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is full of frames to look at, however many are shed between them."""
    monkeypatch.setattr(batch_loop, "GATHER_SECONDS", 3600.0)
    for _ in range(6):
        run.send(1)
    run.clock.advance(10.0)
    for _ in range(6):
        run.send(2)
    decoded: list[bytes] = []

    def decode(picture: bytes) -> Any:
        decoded.append(picture)
        return decode_jpeg(picture)

    run.worker(batch_limit=4, decode=decode)
    eventually(lambda: run.settled)
    assert [sum(span.end - span.first for span in receipt.ranges) for receipt in run.receipts] == [10, 2]
    assert [receipt.shed_by_camera for receipt in run.receipts] == [{"cam/0": 6}, {}]
    assert decoded == [jpeg(2)] * 6
    assert run.audit().balanced


def test_a_long_backlog_is_accounted_for_while_it_is_shed(
    run: MemoryRun, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that finds nothing to look at does not go on to the end of it."""
    monkeypatch.setattr(batch_loop, "GATHER_SECONDS", 3600.0)
    frames = 2 * ENDED_LIMIT + 10
    for _ in range(frames):
        run.send(1, seconds=0.0)
    run.clock.advance(10.0)
    run.worker(batch_limit=16)
    eventually(lambda: run.settled)
    sizes = [sum(receipt.shed_by_camera.values()) for receipt in run.receipts]
    assert sum(sizes) == frames
    assert max(sizes) == ENDED_LIMIT


def test_the_place_of_what_is_shed_is_not_filled_up_for_long(
    run: MemoryRun, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames to look at wait for it."""
    monkeypatch.setattr(batch_loop, "GATHER_SECONDS", 0.0)
    for _ in range(12):
        run.send(1)
    run.clock.advance(10.0)
    run.worker(batch_limit=4)
    eventually(lambda: run.settled)
    assert [sum(receipt.shed_by_camera.values()) for receipt in run.receipts] == [4, 4, 4]


class StoppedSource(FakeFrameSource):
    """Has its worker told to stop when others are asked for in the place of what was shed."""

    more = 0
    stop: Callable[[], None]

    def poll(self, timeout: float, limit: int | None = None) -> Batch | None:
        """See the port."""
        if limit is not None:
            self.more += 1
            self.stop()
        return super().poll(timeout, limit)


def test_a_worker_that_is_told_to_stop_fills_up_no_batch(
    run: MemoryRun, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it holds then is its last."""
    monkeypatch.setattr(batch_loop, "GATHER_SECONDS", 3600.0)
    worker = run.worker(batch_limit=4, source=StoppedSource)
    stopping = threading.Thread(target=worker.loop.stop, args=(20.0,))

    def stop() -> None:
        stopping.start()
        assert worker.loop._stopping.wait(20.0)

    monkeypatch.setattr(StoppedSource, "stop", staticmethod(stop), raising=False)
    eventually(lambda: worker.owns(0, 1))
    with run.broker.changed:
        for _ in range(100):
            run.send(1)
        run.clock.advance(10.0)
    eventually(lambda: stopping.ident is not None)
    stopping.join(20.0)
    assert isinstance(worker.source, StoppedSource)
    assert worker.source.more == 1
    assert sum(sum(receipt.shed_by_camera.values()) for receipt in run.receipts) == 8


def test_nothing_is_shed_under_block(run: MemoryRun, eventually: Eventually) -> None:
    """However old the frames are: the backlog waits."""
    for _ in range(6):
        run.send(1)
    run.clock.advance(100.0)
    run.worker(policy=Policy.BLOCK)
    eventually(lambda: run.settled)
    assert run.coverage.counts == counts(processed=6)
    assert run.alerted == [("cam/0", "person-1")]
