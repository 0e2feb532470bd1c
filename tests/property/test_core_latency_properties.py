"""Quantiles of a sketch keep their error bound, and merging is adding."""

import math

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.latency import RELATIVE_ERROR, LatencySketch

latencies = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=200)


def sketch(values: list[float]) -> LatencySketch:
    """A sketch of the given values."""
    made = LatencySketch()
    for value in values:
        made.add(value)
    return made


@given(latencies, st.floats(0, 1))
def test_quantile_keeps_the_error_bound(values: list[float], q: float) -> None:
    """The value of the same rank in the sorted list is met within the relative error."""
    exact = sorted(values)[int(q * (len(values) - 1))]
    estimate = sketch(values).quantile(q)
    assert estimate is not None
    # the second term is the rounding of the logarithm at a bucket's bound
    assert abs(estimate - exact) <= exact * (RELATIVE_ERROR + 1e-9)


@given(latencies, latencies)
def test_merging_equals_counting_together(here: list[float], there: list[float]) -> None:
    """Two processes' sketches added are the sketch of all values, but for the rounding of the sum."""
    merged, together = sketch(here), sketch(here + there)
    merged.merge(sketch(there))
    assert (merged.buckets, merged.count, merged.greatest) == (together.buckets, together.count, together.greatest)
    assert math.isclose(merged.total, together.total, rel_tol=1e-9)
