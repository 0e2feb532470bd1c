"""Counting due frames is the inverse of placing them, at any rate."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.pacing import SECOND_NS, Schedule, phase_ns

rates = st.fractions(min_value=Fraction(1, 60), max_value=1000, max_denominator=1001)


@given(rates, st.integers(0, 10**9))
def test_frame_is_due_exactly_from_its_instant(fps: Fraction, sequence: int) -> None:
    """Frame n is the last one due at its instant, and not due a nanosecond before."""
    schedule = Schedule(1_790_000_000 * SECOND_NS, fps)
    instant = schedule.instant(sequence)
    assert schedule.due(instant) == sequence + 1
    assert schedule.due(instant - 1) == sequence


@given(rates, st.integers(0, 10**6), st.integers(0, 10**15))
def test_due_agrees_with_counting(fps: Fraction, start_ns: int, elapsed_ns: int) -> None:
    """The count is that of the instants at or before now, found from its neighbours."""
    schedule = Schedule(start_ns, fps)
    due = schedule.due(start_ns + elapsed_ns)
    assert schedule.instant(due - 1) <= start_ns + elapsed_ns < schedule.instant(due)


@given(rates, st.integers(1, 50))
def test_phases_lie_within_one_frame(fps: Fraction, cameras: int) -> None:
    """Phases rise with the index and stay below one frame's time."""
    phases = [phase_ns(i, cameras, fps) for i in range(cameras)]
    assert phases == sorted(phases)
    assert phases[0] == 0
    assert phases[-1] * fps < SECOND_NS
