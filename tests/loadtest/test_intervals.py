"""Clopper-Pearson intervals against published values and their definition."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.intervals import clopper_pearson


@pytest.mark.parametrize(
    ("events", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (1, 100, 0.000253, 0.05446),
        (195, 200, 0.94263, 0.99183),
    ],
)
def test_known_intervals(events: int, trials: int, low: float, high: float) -> None:
    """Values of the beta quantiles that tables and R's binom.test give."""
    assert clopper_pearson(events, trials) == pytest.approx((low, high), abs=5e-5)


def test_no_event_has_a_closed_form() -> None:
    """With none of n the upper end is 1 - (α/2)^(1/n)."""
    assert clopper_pearson(0, 20_000)[1] == pytest.approx(1 - 0.025 ** (1 / 20_000), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.data())
def test_interval_holds_the_rate_and_mirrors(trials: int, data: st.DataObject) -> None:
    """The observed rate lies inside, and swapping events with non-events mirrors the interval."""
    events = data.draw(st.integers(0, trials))
    low, high = clopper_pearson(events, trials)
    assert 0.0 <= low <= events / trials <= high <= 1.0
    other_low, other_high = clopper_pearson(trials - events, trials)
    assert math.isclose(low, 1 - other_high, abs_tol=1e-9)
    assert math.isclose(high, 1 - other_low, abs_tol=1e-9)


@pytest.mark.parametrize(("events", "trials", "confidence"), [(2, 1, 0.95), (-1, 5, 0.95), (0, 0, 0.95), (1, 2, 1.0)])
def test_impossible_counts_are_refused(events: int, trials: int, confidence: float) -> None:
    """Nonsense raises."""
    with pytest.raises(ValueError, match=r"rate|confidence"):
        clopper_pearson(events, trials, confidence)
