"""A sketch travels as a plain record and says nothing it was not told."""

import msgspec
import pytest

from pipeline.core.latency import LatencySketch


def sketch(*seconds: float) -> LatencySketch:
    """A sketch of the given values."""
    made = LatencySketch()
    for value in seconds:
        made.add(value)
    return made


def test_no_values_have_no_quantiles() -> None:
    """An idle camera shows nothing instead of zero."""
    assert LatencySketch().quantile(0.5) is None
    assert LatencySketch().mean is None


def test_greatest_value_and_mean_are_exact() -> None:
    """The maximum is not rounded to a bucket."""
    made = sketch(0.1, 0.123456, 0.02)
    assert made.quantile(1.0) == made.greatest == 0.123456
    assert made.mean == pytest.approx(0.081152)


def test_survives_the_wire() -> None:
    """Sketches of other processes arrive as JSON or MessagePack and go on counting."""
    made = sketch(0.5, 2.0)
    for codec in (msgspec.json, msgspec.msgpack):
        arrived = codec.decode(codec.encode(made), type=LatencySketch)
        assert arrived == made
        arrived.add(3.0)
        assert (arrived.count, made.count) == (3, 2)


def test_values_at_the_ends_are_counted() -> None:
    """Zero, a negative latency of two clocks, and an absurdly great one are neither lost nor errors."""
    made = sketch(0.0, -0.5, 1e12)
    assert made.count == 3
    assert made.greatest == 1e12
    low = made.quantile(0.0)
    assert low is not None
    assert low == pytest.approx(1e-6, rel=0.02)


def test_one_negative_value_is_its_own_maximum() -> None:
    """The greatest of negative values is not the zero that a fresh sketch holds."""
    made = LatencySketch()
    made.merge(sketch(-0.5))
    assert made.greatest == -0.5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_only_finite_values_are_latencies(value: float) -> None:
    """A value that would poison every later mean is refused."""
    with pytest.raises(ValueError, match="latency of"):
        LatencySketch().add(value)


@pytest.mark.parametrize("q", [-0.1, 1.1, float("nan")])
def test_quantile_is_a_share(q: float) -> None:
    """Percentages are a mistake of the caller."""
    with pytest.raises(ValueError, match="quantile"):
        sketch(1.0).quantile(q)
