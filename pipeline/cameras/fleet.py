"""Many cameras in one thread, each paced by its own intended capture instants.

Open loop: an instant follows from the source's timestamps and the start alone. A frame that is late keeps its instant,
so that a stall shows as latency, and no frame waits for another camera's or for the broker.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from typing import Final

from pipeline.cameras.counts import CameraCounts
from pipeline.cameras.source import Absence, FrameSender, Picture, PictureSource
from pipeline.catalog import metrics
from pipeline.catalog.topics import FRAME_BYTES
from pipeline.ports import Telemetry
from pipeline.records import Frame
from pipeline.wire import frames

RETRY_NS: Final = 5_000_000
"""How soon a source that had no picture yet is asked again."""
LONGEST_WAIT_NS: Final = 50_000_000
"""A stop is noticed within this time."""
TICK_NS: Final = 250_000_000
"""How often counts are reported while frames flow."""
BURST: Final = 16
"""Frames sent between two looks at acknowledgements, so that a backlog does not fill the producer's queue unseen."""


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera of a fleet."""

    id: str
    partition: int
    """Partition of ``frames`` that it sends to."""
    source: PictureSource
    phase_ns: int = 0
    """How much later than the fleet's start its first instant lies."""


class Fleet:
    """Sends the frames of cameras when they are due, and counts what became of them.

    `run` belongs to one thread; `stop` and `counts` may be called from any.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        sender: FrameSender,
        *,
        camera_run: str,
        telemetry: Telemetry,
        now_ns: Callable[[], int] = time.time_ns,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """`tick` is called about four times a second while `run` runs; what it raises ends the run.

        `now_ns` is the wall clock, nanoseconds since the Unix epoch.
        """
        self._lanes = [_Lane(camera, camera_run) for camera in cameras]
        self._sender = sender
        self._now_ns = now_ns
        self._telemetry = telemetry
        self._tick = tick
        self._end_ns: int | None = None
        self._stop_ns: int | None = None
        self._reported = [CameraCounts()] * len(self._lanes)

    def run(self, start_ns: int, seconds: float | None = None) -> None:
        """Send until `seconds` after `start_ns`, until every source has ended, or until stopped; then return.

        All frames whose instant came before that have been handed over then, though not all acknowledged: `finish`
        waits for those. Raises InputError if a source fails, and what the sender raises if it can't go on.
        """
        self._end_ns = None if seconds is None else start_ns + round(seconds * 1e9)
        waiting = [(lane.begin(start_ns), index) for index, lane in enumerate(self._lanes)]
        heapify(waiting)
        next_tick = start_ns
        while waiting and self._before_end(waiting[0][0]):
            now_ns = self._now_ns()
            if now_ns >= next_tick:
                next_tick = now_ns + TICK_NS
                self._report()
                self._tick()
            if now_ns < waiting[0][0]:
                self._wait(waiting[0][0] - now_ns)
            else:
                self._send_due(waiting, now_ns)

    def finish(self, deadline: float) -> None:
        """Wait up to `deadline` seconds for acknowledgements, count the rest as failed, and free sender and sources."""
        self._sender.flush(deadline)
        self._sender.close()
        for lane in self._lanes:
            lane.camera.source.close()
        self._report()

    def stop(self) -> None:
        """End the run now: instants that are still to come are not intended any more. Later calls change nothing."""
        if self._stop_ns is None:
            self._stop_ns = self._now_ns()

    def counts(self) -> dict[str, CameraCounts]:
        """What each camera has counted so far, by its id."""
        return {lane.camera.id: lane.counts() for lane in self._lanes}

    def _before_end(self, instant_ns: int) -> bool:
        return (self._end_ns is None or instant_ns < self._end_ns) and (
            self._stop_ns is None or instant_ns <= self._stop_ns
        )

    def _wait(self, wait_ns: int) -> None:
        # acknowledgements end the wait early, and it has a resolution of 1 ms, so it is rounded up
        self._sender.serve((min(wait_ns, LONGEST_WAIT_NS) // 1_000_000 + 1) / 1000)

    def _send_due(self, waiting: list[tuple[int, int]], now_ns: int) -> None:
        for _ in range(BURST):
            due_ns, index = waiting[0]
            if due_ns > now_ns or not self._before_end(due_ns):
                break
            lane = self._lanes[index]
            if lane.send(self._sender):
                self._telemetry.observe(metrics.CAMERA_LATENESS_SECONDS, (self._now_ns() - due_ns) / 1e9)
            next_ns = lane.look(now_ns)
            if next_ns is None:
                heappop(waiting)
                if not waiting:
                    break
            else:
                heapreplace(waiting, (next_ns, index))
        self._sender.serve()

    def _report(self) -> None:
        for index, lane in enumerate(self._lanes):
            before, after = self._reported[index], lane.counts()
            self._reported[index] = after
            for state in ("intended", "sent", "failed", "too_large"):
                if more := getattr(after, state) - getattr(before, state):
                    self._telemetry.count(metrics.CAMERA_FRAMES, more, state=state, place=lane.camera.id)


class _Lane:
    """One camera's way through its pictures."""

    def __init__(self, camera: Camera, camera_run: str) -> None:
        self.camera = camera
        self._camera_run = camera_run
        self._start_ns = 0
        self._sequence = 0
        self._picture: Picture | None = None
        self._sent = 0
        self._failed = 0
        self._too_large = 0

    def begin(self, start_ns: int) -> int:
        """Set the instant that the camera's offsets count from; returns when to come to it first."""
        self._start_ns = start_ns + self.camera.phase_ns
        next_ns = self.look(self._start_ns)
        return self._start_ns if next_ns is None else next_ns

    def look(self, now_ns: int) -> int | None:
        """Take the next picture; returns its instant, when to ask again if it is not ready, or None at the end."""
        picture = self.camera.source.take()
        if isinstance(picture, Picture):
            self._picture = picture
            return self._start_ns + picture.offset_ns
        return now_ns + RETRY_NS if picture is Absence.NOT_YET else None

    def send(self, sender: FrameSender) -> bool:
        """Hand the picture that is due to the sender; False if there is none.

        One larger than a frame may be has failed: every consumer would set it aside, if Kafka took it at all.
        """
        if self._picture is None:
            return False
        picture, self._picture = self._picture, None
        capture_ns = self._start_ns + picture.offset_ns
        key, value, headers = frames.encode(
            Frame(self.camera.id, self._camera_run, self._sequence, capture_ns, picture.jpeg)
        )
        self._sequence += 1
        if len(picture.jpeg) > FRAME_BYTES:
            self._failed += 1
            self._too_large += 1
        elif not sender.send(self.camera.partition, key, value, headers, self._delivered):
            self._failed += 1
        return True

    def counts(self) -> CameraCounts:
        """What became of the frames that came due."""
        # a part is read before its whole: what is counted meanwhile may only make more seem failed, or under way
        too_large = self._too_large
        sent, failed = self._sent, self._failed
        return CameraCounts(self._sequence, sent, failed, too_large)

    def _delivered(self, arrived: bool) -> None:
        if arrived:
            self._sent += 1
        else:
            self._failed += 1
