"""Intended instants do not drift, and falling behind is seen."""

from fractions import Fraction

import pytest

from pipeline.core.pacing import SECOND_NS, Schedule, phase_ns

START_NS = 1_790_000_000 * SECOND_NS


def test_a_day_at_a_third_of_a_nanosecond_does_not_drift() -> None:
    """After a day the instant is exact, although one frame's time is no whole number of nanoseconds."""
    schedule = Schedule(START_NS, Fraction(3))
    assert schedule.instant(1) == START_NS + 333_333_333
    assert schedule.instant(3 * 86_400) == START_NS + 86_400 * SECOND_NS


def test_broadcast_rate_is_exact() -> None:
    """29.97 frames/s is 30000/1001, as a camera means it."""
    assert Schedule(0, Fraction(30_000, 1001)).instant(30_000) == 1001 * SECOND_NS


def test_nothing_is_due_before_the_start() -> None:
    """The first frame is due at the start, not earlier."""
    schedule = Schedule(START_NS, Fraction(2))
    assert schedule.due(START_NS - 1) == 0
    assert schedule.due(START_NS) == 1
    assert schedule.due(START_NS + SECOND_NS // 2 - 1) == 1
    assert schedule.due(START_NS + SECOND_NS // 2) == 2


def test_stall_shows_as_frames_behind() -> None:
    """A producer that comes back after a second at 10 frames/s sees the frames that it owes."""
    schedule = Schedule(START_NS, Fraction(10))
    assert schedule.behind(4, schedule.instant(4)) == 0
    assert schedule.behind(4, schedule.instant(4) + SECOND_NS) == 10
    assert schedule.behind(4, START_NS) == 0


def test_rate_must_be_positive() -> None:
    """A camera at 0 frames/s has no second instant."""
    with pytest.raises(ValueError, match="0 frames per second"):
        Schedule(0, Fraction(0))


def test_cameras_fire_one_after_the_other() -> None:
    """Four cameras at 2 frames/s start an eighth of a second apart."""
    assert [phase_ns(i, 4, Fraction(2)) for i in range(4)] == [0, 125_000_000, 250_000_000, 375_000_000]
