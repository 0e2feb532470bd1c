"""A camera's clock is held against the broker's, frame by frame, in bounded memory."""

import pytest

from pipeline.core.clocks import ClockTrust

SECOND = 10**9
NOW_NS = 1_790_000_000 * SECOND


@pytest.mark.parametrize(("departure_ns", "expected"), [(0, True), (SECOND, True), (SECOND + 1, False)])
@pytest.mark.parametrize("sign", [1, -1])
def test_departure_beyond_the_tolerance_is_not_trusted(departure_ns: int, sign: int, expected: bool) -> None:
    """Slow and fast clocks are treated alike."""
    clocks = ClockTrust(SECOND)
    assert clocks.observe("a", NOW_NS + sign * departure_ns, NOW_NS) is expected
    assert clocks.untrusted == (0 if expected else 1)


def test_each_camera_counts_once_by_its_latest_frame() -> None:
    """A clock that was set right is trusted from its next frame on."""
    clocks = ClockTrust(SECOND)
    for camera in ("a", "a", "b"):
        clocks.observe(camera, 0, NOW_NS)
    assert clocks.untrusted == 2
    clocks.observe("a", NOW_NS, NOW_NS)
    assert clocks.untrusted == 1


def test_judgement_does_not_depend_on_earlier_frames() -> None:
    """A successor that replays one frame judges it like the worker before it."""
    seasoned = ClockTrust(SECOND)
    for n in range(100):
        seasoned.observe("a", 0, NOW_NS + n)
    assert seasoned.observe("a", NOW_NS, NOW_NS) == ClockTrust(SECOND).observe("a", NOW_NS, NOW_NS)


def test_memory_is_bounded() -> None:
    """Made-up camera ids push out the one seen longest ago, not the memory's limit."""
    clocks = ClockTrust(SECOND, limit=3)
    for camera in ("a", "b", "c", "a", "d"):
        clocks.observe(camera, 0, NOW_NS)
    assert clocks.untrusted == 3
    clocks.observe("a", NOW_NS, NOW_NS)
    assert clocks.untrusted == 2


def test_forgotten_cameras_count_again_with_their_next_frame() -> None:
    """Those that went to another worker send none, and do not stay in the figure for ever."""
    clocks = ClockTrust(SECOND)
    clocks.observe("a", 0, NOW_NS)
    clocks.observe("b", 0, NOW_NS)
    clocks.forget()
    assert clocks.untrusted == 0
    clocks.observe("b", 0, NOW_NS)
    assert clocks.untrusted == 1
