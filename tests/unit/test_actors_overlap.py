"""The three stages overlap, and no more batches are in hand than they hold."""

import gc
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from memory_run import MemoryRun
from numpy.typing import NDArray

from pipeline.core.pressure import Policy
from pipeline.records import Batch, OutgoingRecord
from pipeline.testing.embedder import FakeEmbedder
from pipeline.testing.frame_source import FakeFrameSource
from pipeline.testing.outbox import FakeOutbox
from pipeline.vision.decode import decode_jpeg

BATCHES = 50
MEETING_SECONDS = 20.0
"""How long two stages wait for each other; if they do not overlap, they wait in vain."""


class Meetings:
    """Commit i and the embedding of batch i+1 meet: each goes on only while the other is there."""

    def __init__(self, batches: int) -> None:
        self._barriers = [threading.Barrier(2) for _ in range(batches - 1)]

    def attend(self, number: int) -> None:
        """Wait for the other side of a meeting; those before the first and after the last are none."""
        if 0 <= number < len(self._barriers):
            self._barriers[number].wait(MEETING_SECONDS)


class MeetingEmbedder(FakeEmbedder):
    """Embeds batch i+1 only while batch i is being committed."""

    def __init__(self, meetings: Meetings) -> None:
        super().__init__()
        self._meetings = meetings
        self._batches = 0

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See the port."""
        self._meetings.attend(self._batches - 1)
        self._batches += 1
        return super().embed(crops)


class MeetingOutbox(FakeOutbox):
    """Commits batch i only while batch i+1 is being embedded."""

    def __init__(self, run: MemoryRun, meetings: Meetings) -> None:
        super().__init__(run.broker, topic="frames", transactional_id="run.worker-0")
        self._meetings = meetings
        self._batches = 0

    def commit(self, records: Sequence[OutgoingRecord], offsets: Mapping[int, int], membership: Any) -> None:
        """See the port."""
        self._meetings.attend(self._batches)
        self._batches += 1
        super().commit(records, offsets, membership)


def test_each_batch_is_embedded_while_the_one_before_is_committed(
    run: MemoryRun, eventually: Callable[..., None]
) -> None:
    """A trace of 50 batches: the spans of commit i and of embedding i+1 have an instant in common, for every i."""
    for _ in range(BATCHES):
        run.send(1)
    meetings = Meetings(BATCHES)
    worker = run.worker(
        batch_limit=1,
        policy=Policy.BLOCK,
        embedder=MeetingEmbedder(meetings),
        outbox=MeetingOutbox(run, meetings),
    )
    eventually(lambda: worker.work.batches == BATCHES or worker.loop.failure)
    assert worker.loop.failure is None
    spans = {(span.stage, span.batch): span for span in list(worker.trace.spans)}
    for before, after in pairwise(range(BATCHES)):
        commit, embed = spans["commit", before], spans["embed", after]
        assert max(commit.began, embed.began) <= min(commit.ended, embed.ended), before
    commits = [spans["commit", number] for number in range(BATCHES)]
    assert all(one.ended <= other.began for one, other in pairwise(commits)), "one transaction at a time"
    assert run.audit().balanced


class Pictures:
    """Counts the decoded pictures that are alive."""

    def __init__(self) -> None:
        self._alive: weakref.WeakSet[NDArray[np.uint8]] = weakref.WeakSet()
        self._lock = threading.Lock()
        self.decoded = 0

    def decode(self, jpeg: bytes) -> NDArray[np.uint8]:
        """A picture that is counted."""
        picture = decode_jpeg(jpeg).view(_Counted)
        with self._lock:
            self._alive.add(picture)
            self.decoded += 1
        return picture

    @property
    def alive(self) -> int:
        """Pictures that somebody still holds."""
        gc.collect()
        with self._lock:
            return len(self._alive)


class _Counted(np.ndarray[tuple[int, ...], np.dtype[np.uint8]]):
    """An array that can be referred to weakly and be in a set."""

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> Any:
        return self is other


class CountedJpeg(bytes):
    """The encoded picture of a frame, of which those alive are counted."""

    alive = 0

    def __new__(cls, content: bytes) -> "CountedJpeg":
        """A copy that counts."""
        cls.alive += 1
        return super().__new__(cls, content)

    def __del__(self) -> None:
        type(self).alive -= 1


class CountedSource(FakeFrameSource):
    """Hands out records whose encoded pictures are counted, as those from a real broker are nobody else's."""

    def poll(self, timeout: float, limit: int | None = None) -> Batch | None:
        """See the port."""
        batch = super().poll(timeout, limit)
        if batch is None:
            return None
        records = (msgspec.structs.replace(r, value=CountedJpeg(r.value or b"")) for r in batch.records)
        return msgspec.structs.replace(batch, records=tuple(records))


class HeldOutbox(FakeOutbox):
    """Commits only while it is let."""

    def __init__(self, run: MemoryRun) -> None:
        super().__init__(run.broker, topic="frames", transactional_id="run.worker-0")
        self.free = threading.Event()

    def commit(self, records: Sequence[OutgoingRecord], offsets: Mapping[int, int], membership: Any) -> None:
        """See the port."""
        assert self.free.wait(MEETING_SECONDS)
        super().commit(records, offsets, membership)


def test_pictures_in_hand_are_bounded_and_none_reaches_the_last_stage(
    run: MemoryRun, eventually: Callable[..., None]
) -> None:
    """With commits held up, one batch waits decoded; those that have been looked at have lost their pictures.

    Encoded pictures live no longer than their decoding.
    """
    limit, total = 4, 80
    for _ in range(total):
        run.send(1)
    pictures, outbox = Pictures(), HeldOutbox(run)
    worker = run.worker(
        batch_limit=limit, policy=Policy.BLOCK, decode=pictures.decode, outbox=outbox, source=CountedSource
    )

    def full() -> bool:
        """The pipeline holds what it can: three batches, of which the first two have been looked at."""
        stages = [span.stage for span in list(worker.trace.spans)]
        return stages.count("decode") == 3 and stages.count("embed") == 2

    eventually(full)
    eventually(lambda: pictures.alive <= limit)
    assert pictures.decoded == 3 * limit
    eventually(lambda: CountedJpeg.alive == 0)
    outbox.free.set()
    eventually(lambda: run.settled)
    assert pictures.decoded == total
    assert worker.loop.stop(5.0)
    eventually(lambda: pictures.alive == 0)
