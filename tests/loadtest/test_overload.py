"""The figures of an overload, from samples that are known."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.overload import options, settings_of
from loadtest.overload_figures import Figure, Load, Sample, accounts, figures, jain, line
from pipeline.core.latency import LatencySketch
from pipeline.telemetry.places import Places

MEBIBYTE = 1 << 20


def load(
    seconds: int, sent: float, processed: float, *, growth: float = 0.0, batches: float = 2.0, shed: float = 0.0
) -> Load:
    """Samples of a steady stretch, one a second; memory grows by so many MiB a second."""
    samples = [
        Sample(
            1000.0 + t,
            int(sent * t),
            {"processed": int(processed * t), "shed": int(shed * t)},
            int(batches * t),
            int((100 + growth * t) * MEBIBYTE),
        )
        for t in range(seconds + 1)
    ]
    return Load(sent, samples)


def latencies(seconds: float) -> LatencySketch:
    """A thousand frames of one latency."""
    sketch = LatencySketch()
    for _ in range(1000):
        sketch.add(seconds)
    return sketch


def named(found: list[Figure]) -> dict[str, Figure]:
    """Figures by name."""
    return {each.name: each for each in found}


def test_goodput_and_rate_are_frames_over_seconds() -> None:
    steady = load(50, sent=300, processed=100)
    assert (steady.sent, steady.goodput, steady.batch_seconds) == (300.0, 100.0, 0.5)


def test_only_what_ended_in_the_stretch_is_counted() -> None:
    whole = load(50, sent=300, processed=100, shed=200)
    assert Load(300, whole.samples[10:31]).counted("shed") == 4000


def test_steady_memory_is_no_growth_and_a_leak_is_told() -> None:
    assert load(100, 30, 10).memory_growth == 1.0
    leaking = load(100, 30, 10, growth=0.2)
    # 100 + 0.2 × 95 at the end ÷ 100 + 0.2 × 25 after the first fifth
    assert leaking.memory_growth == pytest.approx(119 / 105, abs=1e-3)
    found = named(figures([load(20, 12, 10)], leaking, latencies(1.0), {"a": 1}, max_age=2.0, cameras=1))
    assert found["memory ÷ that after a fifth"].reached is False


def test_goodput_that_falls_under_overload_misses_its_target() -> None:
    saturation = load(20, sent=115, processed=100)
    kept = named(figures([saturation], load(60, 300, 96), latencies(1.0), {"a": 1}, max_age=2.0, cameras=1))
    lost = named(figures([saturation], load(60, 300, 90), latencies(1.0), {"a": 1}, max_age=2.0, cameras=1))
    assert kept["goodput ÷ that at saturation"].reached is True
    assert lost["goodput ÷ that at saturation"].reached is False
    assert "MISSED" in line(lost["goodput ÷ that at saturation"])


def test_an_overload_is_held_against_the_saturations_around_it() -> None:
    fast, slow = load(20, sent=150, processed=120), load(20, sent=150, processed=80)
    found = named(figures([fast, slow], load(60, 300, 96), latencies(1.0), {"a": 1}, max_age=2.0, cameras=1))
    assert found["goodput ÷ that at saturation"].value == pytest.approx(0.96)
    assert [found[f"goodput at saturation, stretch {each}"].value for each in (1, 2)] == pytest.approx([120, 80])


def test_latency_may_reach_the_limit_and_three_batches_but_no_more() -> None:
    overload = load(60, 300, 100, batches=4)  # a batch every 0.25 s: 2.75 s
    within = named(figures([load(20, 115, 100)], overload, latencies(2.7), {"a": 1}, max_age=2.0, cameras=1))
    beyond = named(figures([load(20, 115, 100)], overload, latencies(2.9), {"a": 1}, max_age=2.0, cameras=1))
    assert within["p99 of what is processed"].reached is True
    assert beyond["p99 of what is processed"].reached is False


def test_without_shedding_nothing_is_said_of_latency_and_fairness() -> None:
    found = named(figures([load(20, 115, 100)], load(60, 300, 100), latencies(50.0), {}, max_age=None, cameras=1))
    assert not {"p99 of what is processed", "Jain's index of shed frames"} & set(found)


def test_one_camera_that_bears_it_all_is_unfair() -> None:
    found = named(
        figures(
            [load(20, 115, 100)], load(60, 300, 100), latencies(1.0), {"a": 900, "b": 0, "c": 0}, max_age=2.0, cameras=3
        )
    )
    assert found["Jain's index of shed frames"].value == pytest.approx(1 / 3)
    assert found["Jain's index of shed frames"].reached is False


def test_fairness_between_districts_says_nothing_of_cameras() -> None:
    found = named(
        figures([load(20, 115, 100)], load(60, 300, 100), latencies(1.0), {"overload": 900}, max_age=2.0, cameras=65)
    )
    assert found["Jain's index of shed frames"].reached is True, "of one district"
    counted = found["cameras whose frames were counted"]
    assert (counted.value, counted.target, counted.reached) == (1, "65", False)


def test_the_run_tells_all_cameras_apart() -> None:
    settings = settings_of(options(["--cameras", "200"]))
    places = Places(settings.metrics.per_camera_limit)
    assert len({places.label(f"overload/cam-{number:03d}") for number in range(200)}) == 200


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40))
def test_fairness_lies_between_one_in_n_and_one(counts: list[int]) -> None:
    index = jain(counts)
    assert 1 / len(counts) - 1e-9 <= index <= 1 + 1e-9
    if all(a == b for a, b in pairwise(counts)):
        assert index == pytest.approx(1.0)


def test_fairness_between_no_cameras_is_no_number() -> None:
    with pytest.raises(ValueError, match="no cameras"):
        jain([])


def test_a_feed_that_falls_behind_is_no_overload() -> None:
    slow = Load(600.0, load(60, sent=300, processed=100).samples)
    found = named(figures([load(20, 115, 100)], slow, latencies(1.0), {"a": 1}, max_age=2.0, cameras=1))
    assert found["sent ÷ what was to be sent"].reached is False


def test_memory_of_a_short_stretch_is_told_by_its_nearest_samples() -> None:
    short = Load(10.0, load(2, 30, 10, growth=10.0).samples)
    assert short.memory_growth == pytest.approx(120 / 100)


def test_what_waits_under_block_is_told_and_what_is_astray_is_a_miss() -> None:
    waiting = named(accounts(sent=1000, committed=400, ended=400, everything=False))
    assert (waiting["still in Kafka"].value, waiting["still in Kafka"].reached) == (600, None)
    assert named(accounts(1000, 400, 399, everything=False))["committed without an outcome"].reached is False
    assert named(accounts(1000, 999, 999, everything=True))["still in Kafka"].reached is False
