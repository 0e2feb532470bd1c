"""Fleets pace by intended instants, keep them when late, and account for every frame."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest

from pipeline.cameras.counts import CameraCounts, summed
from pipeline.cameras.fleet import Camera, Fleet
from pipeline.cameras.source import SECOND_NS, Absence, Picture
from pipeline.cameras.synthetic import SyntheticSource
from pipeline.catalog import metrics
from pipeline.catalog.topics import FRAME_BYTES
from pipeline.errors import BrokerError, InputError
from pipeline.records import ConsumedRecord, Frame
from pipeline.testing.clock import FakeClock
from pipeline.testing.telemetry import FakeTelemetry
from pipeline.wire import frames

JPEG = b"\xff\xd8\xff picture"


class RecordingSender:
    """Keeps frames, and lets a fake clock pass while it is waited upon; acknowledges when served."""

    def __init__(self, clock: FakeClock, *, cost_seconds: float = 0.0) -> None:
        self.clock = clock
        self.cost_seconds = cost_seconds
        self.frames: list[tuple[int, int, Frame]] = []
        self.refuse: Callable[[], bool] = lambda: False
        self.deliver = True
        self.at_service: Callable[[], None] = lambda: None
        self._waiting: list[Callable[[bool], None]] = []

    def send(
        self,
        partition: int,
        key: bytes,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
        on_delivery: Callable[[bool], None] | None = None,
    ) -> bool:
        record = ConsumedRecord(partition, len(self.frames), self.clock.now_ns(), key, value, tuple(headers))
        self.clock.advance(self.cost_seconds)
        if self.refuse():
            return False
        self.frames.append((self.clock.now_ns(), partition, frames.decode(record)))
        assert on_delivery is not None
        self._waiting.append(on_delivery)
        return True

    def serve(self, timeout: float = 0.0) -> None:
        self.clock.advance(timeout)
        self.at_service()
        if self.deliver:
            self._tell(True)

    def flush(self, deadline: float) -> int:
        if self.deliver:
            self._tell(True)
        return len(self._waiting)

    def close(self) -> None:
        self._tell(False)

    def _tell(self, arrived: bool) -> None:
        for told in self._waiting:
            told(arrived)
        self._waiting.clear()


class ListSource:
    """Gives what it is made of; closed or not is remembered."""

    def __init__(self, *given: Picture | Absence | Exception) -> None:
        self._given = list(given)
        self.closed = False

    def take(self) -> Picture | Absence:
        if not self._given:
            return Absence.ENDED
        given = self._given.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    def close(self) -> None:
        self.closed = True


def street(fps: int = 10) -> SyntheticSource:
    """A camera that never ends."""
    return SyntheticSource((JPEG + b"0", JPEG + b"1", JPEG + b"2"), Fraction(fps))


def fleet_of(cameras: Sequence[Camera], sender: RecordingSender, measurements: FakeTelemetry | None = None) -> Fleet:
    """A fleet on the sender's clock."""
    return Fleet(
        cameras, sender, camera_run="run-1", telemetry=measurements or FakeTelemetry(), now_ns=sender.clock.now_ns
    )


def test_every_instant_of_the_time_span_is_sent_once_and_in_order() -> None:
    """Two cameras at 10 frames/s for 3 s send 30 frames each, numbered from 0, at their own instants."""
    clock = FakeClock()
    sender = RecordingSender(clock)
    start = clock.now_ns() + SECOND_NS
    fleet = fleet_of([Camera("north/a", 0, street()), Camera("south/b", 1, street(), 50_000_000)], sender)
    fleet.run(start, 3.0)
    fleet.finish(1.0)
    for camera, partition, phase in (("north/a", 0, 0), ("south/b", 1, 50_000_000)):
        sent = [(place, frame) for _, place, frame in sender.frames if frame.camera == camera]
        assert {place for place, _ in sent} == {partition}
        assert [frame.sequence for _, frame in sent] == list(range(30))
        assert [frame.capture_ns for _, frame in sent] == [start + phase + n * SECOND_NS // 10 for n in range(30)]
        assert {frame.camera_run for _, frame in sent} == {"run-1"}
    assert fleet.counts() == {"north/a": CameraCounts(30, 30, 0), "south/b": CameraCounts(30, 30, 0)}


def test_frames_leave_at_their_instant_and_never_before() -> None:
    """Nothing is sent early, and waiting costs a millisecond at most."""
    clock = FakeClock()
    sender = RecordingSender(clock)
    fleet_of([Camera("north/a", 0, street(7)), Camera("north/b", 0, street(11))], sender).run(clock.now_ns(), 5.0)
    late = [now - frame.capture_ns for now, _, frame in sender.frames]
    assert min(late) >= 0
    assert max(late) <= 1_000_000


def test_stall_keeps_the_intended_instants() -> None:
    """After a stall of 2 s the frames due meanwhile are sent late, with the instants they were meant for."""
    clock = FakeClock()
    sender = RecordingSender(clock)
    measurements = FakeTelemetry()
    stalls = iter([2.0])
    sender.at_service = lambda: clock.advance(next(stalls, 0.0)) if len(sender.frames) == 5 else None
    start = clock.now_ns()
    fleet = fleet_of([Camera("north/a", 0, street())], sender, measurements)
    fleet.run(start, 4.0)
    fleet.finish(1.0)
    assert [frame.capture_ns for _, _, frame in sender.frames] == [start + n * SECOND_NS // 10 for n in range(40)]
    lateness = measurements.observations(metrics.CAMERA_LATENESS_SECONDS)
    assert len(lateness) == 40
    assert max(lateness) == pytest.approx(1.9, abs=0.11)
    assert lateness[-1] <= 0.001


def test_stop_ends_what_is_intended() -> None:
    """Frames due before the stop are sent and counted; those after it are not intended."""
    clock = FakeClock()
    sender = RecordingSender(clock)
    fleet = fleet_of([Camera("north/a", 0, street()), Camera("north/b", 1, street(), 1)], sender)
    start = clock.now_ns()
    sender.at_service = lambda: fleet.stop() if clock.now_ns() >= start + 2 * SECOND_NS else None
    fleet.run(start)
    fleet.finish(1.0)
    stopped = clock.now_ns()
    assert stopped < start + 2 * SECOND_NS + 100_000_000
    due = sum(1 for n in range(100) for phase in (0, 1) if start + phase + n * SECOND_NS // 10 <= stopped)
    assert summed(fleet.counts()) == CameraCounts(due, due, 0)


def test_stop_before_the_start_sends_nothing() -> None:
    """A fleet that is stopped while it waits has intended no frame."""
    clock = FakeClock()
    sender = RecordingSender(clock)
    fleet = fleet_of([Camera("north/a", 0, street())], sender)
    fleet.stop()
    fleet.run(clock.now_ns() + SECOND_NS, 10.0)
    assert sender.frames == []
    assert summed(fleet.counts()) == CameraCounts()


def test_refused_and_lost_frames_are_failed() -> None:
    """A frame that the sender refuses, or gives up in the end, is failed; intended is always the sum."""
    clock = FakeClock()
    sender = RecordingSender(clock)
    measurements = FakeTelemetry()
    sender.refuse = lambda: len(sender.frames) == 3 and clock.now_ns() % (2 * SECOND_NS) < SECOND_NS
    fleet = fleet_of([Camera("north/a", 0, street())], sender, measurements)
    fleet.run(clock.now_ns(), 2.0)
    sender.deliver = False
    fleet.finish(1.0)
    counts = fleet.counts()["north/a"]
    assert counts.intended == 20 == counts.sent + counts.failed
    assert counts.failed > 0
    assert counts.under_way == 0
    counted = {
        state: measurements.value(metrics.CAMERA_FRAMES, state=state, place="north/a")
        for state in ("intended", "sent", "failed")
    }
    assert counted == {"intended": 20.0, "sent": float(counts.sent), "failed": float(counts.failed)}


def test_picture_that_is_not_ready_is_sent_late_with_its_own_instant() -> None:
    """A slow decoder delays its camera's frame, not its capture time, and holds up no other camera."""
    clock = FakeClock()
    sender = RecordingSender(clock)
    waits = [Absence.NOT_YET] * 20
    slow = ListSource(Picture(0, JPEG), *waits, Picture(10_000_000, JPEG), Picture(SECOND_NS, JPEG))
    start = clock.now_ns()
    fleet_of([Camera("north/slow", 0, slow), Camera("north/b", 1, street(100))], sender).run(start, 1.5)
    arrived = {(frame.camera, frame.sequence): (now, frame.capture_ns) for now, _, frame in sender.frames}
    now, capture = arrived["north/slow", 1]
    assert capture == start + 10_000_000
    assert 0.09 * SECOND_NS < now - capture < 0.2 * SECOND_NS
    assert arrived["north/slow", 2][1] == start + SECOND_NS
    assert max(now - capture for (camera, _), (now, capture) in arrived.items() if camera == "north/b") <= 1_000_000


def test_fleet_ends_with_its_last_source() -> None:
    """Finite sources end the run without a time limit, and are closed."""
    clock = FakeClock()
    sender = RecordingSender(clock)
    sources = [ListSource(Picture(0, JPEG), Picture(SECOND_NS, JPEG)), ListSource()]
    fleet = fleet_of([Camera(f"north/{n}", n, source) for n, source in enumerate(sources)], sender)
    fleet.run(clock.now_ns())
    fleet.finish(1.0)
    assert summed(fleet.counts()) == CameraCounts(2, 2, 0)
    assert all(source.closed for source in sources)


def test_source_that_fails_ends_the_run() -> None:
    """What a source raises reaches whoever runs the fleet."""
    clock = FakeClock()
    source = ListSource(Picture(0, JPEG), InputError("street.mp4 is broken"))
    with pytest.raises(InputError, match=r"street\.mp4"):
        fleet_of([Camera("north/a", 0, source)], RecordingSender(clock)).run(clock.now_ns())


def test_tick_may_end_the_run() -> None:
    """What the tick raises, such as a broker that stays away, ends the run."""
    clock = FakeClock()
    sender = RecordingSender(clock)
    start = clock.now_ns()

    def tick() -> None:
        if clock.now_ns() > start + SECOND_NS:
            raise BrokerError("Kafka is away")

    fleet = Fleet(
        [Camera("north/a", 0, street())], sender, camera_run="r", telemetry=FakeTelemetry(), tick=tick,
        now_ns=clock.now_ns,
    )  # fmt: skip
    with pytest.raises(BrokerError, match="away"):
        fleet.run(start)
    assert clock.now_ns() < start + 2 * SECOND_NS


def test_slow_sender_makes_all_frames_late_and_loses_none() -> None:
    """When sending costs more time than there is between frames, every instant is still sent, in order."""
    clock = FakeClock()
    sender = RecordingSender(clock, cost_seconds=0.02)
    start = clock.now_ns()
    fleet = fleet_of([Camera("north/a", 0, street(100))], sender)
    fleet.run(start, 1.0)
    fleet.finish(1.0)
    assert [frame.capture_ns for _, _, frame in sender.frames] == [start + n * SECOND_NS // 100 for n in range(100)]
    assert summed(fleet.counts()) == CameraCounts(100, 100, 0)


def test_a_picture_larger_than_a_frame_may_be_fails_alone() -> None:
    """It keeps its place in the sequence, is counted apart, and the sender never sees it."""
    sender, measurements = RecordingSender(FakeClock()), FakeTelemetry()
    largest = JPEG + bytes(FRAME_BYTES - len(JPEG))
    given = [Picture(n * SECOND_NS // 10, jpeg) for n, jpeg in enumerate((JPEG, largest, largest + b"!", JPEG))]
    fleet = fleet_of([Camera("north/a", 0, ListSource(*given))], sender, measurements)
    fleet.run(sender.clock.now_ns())
    fleet.finish(1.0)
    assert [frame.sequence for _, _, frame in sender.frames] == [0, 1, 3]
    assert fleet.counts() == {"north/a": CameraCounts(intended=4, sent=3, failed=1, too_large=1)}
    assert measurements.value(metrics.CAMERA_FRAMES, state="too_large", place="north/a") == 1
