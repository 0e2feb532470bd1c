"""Intervals of rates against published values, their definitions and what they promise."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.intervals import (
    binomial_range,
    binomial_tail,
    clopper_pearson,
    cluster_bootstrap,
    effective_trials,
)


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


def test_a_million_trials_cost_no_more_than_ten() -> None:
    """The closed form of no event, and the normal approximation where it is good."""
    assert clopper_pearson(0, 1_000_000)[1] == pytest.approx(1 - 0.025 ** (1 / 1_000_000), rel=1e-6)
    low, high = clopper_pearson(500_000, 1_000_000)
    assert low == pytest.approx(0.5 - 1.96 * 0.0005, abs=2e-6)
    assert high == pytest.approx(0.5 + 1.96 * 0.0005, abs=2e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 60), st.floats(0.001, 0.999))
def test_the_tail_is_the_sum_of_the_binomial_terms(trials: int, events: int, rate: float) -> None:
    """The continued fraction against the definition."""
    terms = [math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(events, trials + 1)]
    assert binomial_tail(events, trials, rate) == pytest.approx(math.fsum(terms), rel=1e-9, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.floats(0.0005, 0.9))
def test_the_range_of_a_binomial_leaves_out_little_on_either_side(trials: int, rate: float) -> None:
    """At most 2.5 % each, and one step further in would leave out more."""
    low, high = binomial_range(trials, rate)
    assert 1 - binomial_tail(low, trials, rate) <= 0.025 < 1 - binomial_tail(low + 1, trials, rate)
    assert binomial_tail(high + 1, trials, rate) <= 0.025
    assert high == 0 or binomial_tail(high, trials, rate) > 0.025


def test_the_bootstrap_covers_the_rate_of_people_who_differ() -> None:
    """About 95 of 100 intervals hold the true rate, where those that take searches as independent hold far fewer."""
    rng = np.random.default_rng(7)
    covered = naive = 0
    for _ in range(200):
        own = rng.beta(1.0, 3.0, size=80)  # each person has a rate of their own, 0.25 on average
        events = rng.binomial(10, own)
        low, high = cluster_bootstrap(events, np.full(80, 10), rng, replicates=400)
        covered += low <= 0.25 <= high
        low, high = clopper_pearson(int(events.sum()), 800)
        naive += low <= 0.25 <= high
    assert covered >= 0.88 * 200
    assert naive <= 0.85 * 200


def test_a_bootstrap_of_nobody_is_refused() -> None:
    """There is nobody to draw."""
    with pytest.raises(ValueError, match="person"):
        cluster_bootstrap(np.empty(0, np.int64), np.empty(0, np.int64), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("events", "trials", "effective"),
    [
        ([0] * 150 + [10] * 50, [10] * 200, 200.0),  # all or nothing: one trial a person
        ([2] * 50, [10] * 50, 500.0),  # everybody alike: all of them
        ([5], [10], 1.0),
    ],
)
def test_trials_count_as_far_as_people_do_not_repeat_themselves(
    events: list[int], trials: list[int], effective: float
) -> None:
    """The bounds of the design effect."""
    assert effective_trials(np.array(events), np.array(trials)) == pytest.approx(effective)


def test_the_design_effect_is_that_of_the_correlation_within_people() -> None:
    """1 + (searches a person - 1) times the correlation, here 1 ÷ (1 + 3 + 1)."""
    own = np.random.default_rng(5).beta(1.0, 3.0, size=20_000)
    events = np.random.default_rng(6).binomial(10, own)
    assert 200_000 / effective_trials(events, np.full(20_000, 10)) == pytest.approx(1 + 9 / 5, rel=0.03)


@pytest.mark.parametrize(("events", "trials"), [(0.5, 3.25), (3.0, 3.25), (3.25, 3.25), (0.4, 200.0)])
def test_parts_of_trials_have_an_interval_between_those_of_whole_ones(events: float, trials: float) -> None:
    """Its ends leave 2.5 % to either side, as of the beta distribution that goes on between counts."""
    low, high = clopper_pearson(events, trials)
    assert low <= events / trials <= high
    assert binomial_tail(events, trials, low) == pytest.approx(0.025, abs=1e-9)
    if events < trials:
        assert 1 - binomial_tail(events + 1, trials, high) == pytest.approx(0.025, abs=1e-9)
