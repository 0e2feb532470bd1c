"""What holds of rates, thresholds and passes whatever the scores."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.rates import det, fpir, threshold_at, tpir
from pipeline.evaluation.searches import Mated, NonMated

SCORES = st.lists(
    st.one_of(st.floats(-1, 1, width=32), st.just(float("-inf")), st.sampled_from([0.25, 0.5])),
    min_size=1, max_size=60,
)  # fmt: skip


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def strangers(scores: list[float], passes: int = 1000) -> NonMated:
    index = np.arange(len(scores))
    return NonMated(np.array(scores, np.float32), index, index % passes)


def listed(scores: list[float], firsts: list[bool], passes: int = 1000) -> Mated:
    index = np.arange(len(scores))
    return Mated(np.array(scores, np.float32), np.resize(np.array(firsts), len(scores)), index, index % passes)


@settings(max_examples=60, deadline=None)
@given(SCORES, st.lists(st.booleans(), min_size=1, max_size=9), st.floats(-1, 1), st.floats(-1, 1))
def test_both_rates_fall_with_the_threshold(scores: list[float], firsts: list[bool], one: float, two: float) -> None:
    """A higher threshold never lets more through."""
    low, high = sorted((one, two))
    assert fpir(strangers(scores), low, rng()).events >= fpir(strangers(scores), high, rng()).events
    assert tpir(listed(scores, firsts), low, rng()).events >= tpir(listed(scores, firsts), high, rng()).events


@settings(max_examples=60, deadline=None)
@given(SCORES, st.floats(0.001, 0.9))
def test_a_threshold_meets_its_target_on_its_own_scores(scores: list[float], target: float) -> None:
    """With ties and faces that were not found, too; and it lies in its interval."""
    searches = strangers(scores)
    threshold = threshold_at(searches, target, rng())
    assert threshold.value == -1.0 or fpir(searches, threshold.value, rng()).events <= target * len(scores)
    assert threshold.low is None or threshold.low <= threshold.value
    assert threshold.high is None or threshold.value <= np.nextafter(np.float32(threshold.high), np.float32(2))


@settings(max_examples=60, deadline=None)
@given(SCORES, st.lists(st.booleans(), min_size=1, max_size=9), st.integers(1, 8), st.floats(-1, 1))
def test_a_pass_reaches_a_threshold_if_a_frame_of_it_does(
    scores: list[float], firsts: list[bool], passes: int, threshold: float
) -> None:
    """The definition of both rates per pass, counted frame by frame."""
    own, others = listed(scores, firsts, passes), strangers(scores, passes)
    reached = {int(p) for p, score in zip(own.passage, own.counted, strict=True) if score >= np.float32(threshold)}
    assert tpir(own.per_pass(), threshold, rng()).events == len(reached)
    assert len(own.per_pass()) == min(passes, len(scores))
    reached = {int(p) for p, score in zip(others.passage, others.best, strict=True) if score >= np.float32(threshold)}
    assert fpir(others.per_pass(), threshold, rng()).events == len(reached)


@settings(max_examples=40, deadline=None)
@given(SCORES, SCORES)
def test_along_a_det_curve_misses_fall_as_false_matches_rise(own: list[float], others: list[float]) -> None:
    """A trade, never a gain on both sides."""
    curve = det(listed(own, [True]), strangers(others))
    assert np.all(np.diff(curve.fpir) >= 0)
    assert np.all(np.diff(curve.fnir) <= 0)
