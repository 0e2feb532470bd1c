"""The rule of elastic pools on traces: it finds the size that a load needs, keeps it, and changes slowly.

Workers carry 30 frames per second each and take 8 s to be up; the interval is 30 s and the target 1 s.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from queue_model import Load, QueueModel, Trace

from pipeline.core.scaling import Scaler, Scaling

PACE = 30.0
INTERVAL = 30.0
MAX_AGE = 2.0
SETTLED = 12 * INTERVAL
"""Until then a steady load has found its size: the pool doubles per interval, and shrinks once after that."""

policies = pytest.mark.parametrize("max_age", [None, MAX_AGE], ids=["block", "shed-oldest"])


def traced(
    load: Load,
    *,
    seconds: float,
    max_age: float | None,
    workers: int = 1,
    least: int = 1,
    most: int = 8,
    batch_seconds: float = 0.0,
) -> Trace:
    """What becomes of a pool under a load; what the rule promises of every trace has been checked."""
    scaling = Scaling(least=least, most=most, target=1.0, interval=INTERVAL)
    model = QueueModel(load, pace=PACE, workers=workers, max_age=max_age, batch_seconds=batch_seconds)
    trace = Trace(model, scaling, seconds=seconds, workers=workers)
    trace.check_promises()
    return trace


def told_in_time(need: float) -> bool:
    """Whether a load that some workers are too few for by a hair makes its backlog of the target's age in time."""
    return need <= 1.0 or need % 1.0 == 0.0 or need % 1.0 >= 0.05


@policies
@settings(max_examples=30, deadline=None)
@given(need=st.floats(0.0, 7.5).filter(told_in_time))
def test_a_steady_load_finds_its_size_and_keeps_it(need: float, max_age: float | None) -> None:
    """Enough workers, not many more, and no change once it is found; on the way it turns once at most, when a backlog
    is gone."""
    trace = traced(lambda _: need * PACE, seconds=40 * INTERVAL, max_age=max_age)
    assert trace.changes_since(SETTLED) == 0
    assert trace.turns <= 1
    assert trace.last >= need
    assert trace.last <= max(1.0, need / 0.8 + 1.0)
    assert trace.model.lag <= PACE * trace.last


@settings(max_examples=30, deadline=None)
@given(need=st.floats(1.1, 7.5), batch_seconds=st.floats(0.5, 8.0))
def test_batches_that_take_as_long_as_the_window_do_not_deceive_the_rule(need: float, batch_seconds: float) -> None:
    """What a worker can is measured from commit to commit: a window with one commit or none would tell anything.

    With slow batches some frames always wait for longer than half the target, so a pool that grew for a backlog keeps
    its size.
    """
    trace = traced(lambda _: need * PACE, seconds=40 * INTERVAL, max_age=None, batch_seconds=batch_seconds)
    assert trace.turns <= 1
    assert trace.last >= need
    assert trace.changes_since(SETTLED) == 0


@policies
@settings(max_examples=20, deadline=None)
@given(need=st.floats(0.3, 6.0), seed=st.integers(0, 2**32))
def test_noise_around_a_load_does_not_make_a_pool_flap(need: float, seed: int, max_age: float | None) -> None:
    """Gaussian noise of a third of the load, in every second, turns the size no more than a steady load does.

    Some ten minutes of it may hold one run of busy seconds that is answered, and taken back: two changes at most.
    """
    noise = random.Random(seed)
    trace = traced(lambda _: max(0.0, noise.gauss(need, need / 3)) * PACE, seconds=40 * INTERVAL, max_age=max_age)
    assert trace.turns <= 1
    assert trace.last >= need - 0.1
    assert trace.changes_since(SETTLED) <= 2


@policies
def test_a_step_up_is_met_within_intervals_and_a_step_down_after_a_while(max_age: float | None) -> None:
    """A worker comes once frames were too old, which takes more than a second, in most looks of the last six; after the
    end of the load nothing changes for two intervals."""
    trace = traced(lambda at: 2.5 * PACE if 100 <= at < 700 else 5.0, seconds=1000, max_age=max_age)
    first = trace.sizes[1][0]
    assert 100 + 4 <= first <= 100 + 8
    assert [workers for at, workers in trace.sizes if at < 700][-1] in (3, 4)
    assert trace.changes_since(100 + SETTLED) == trace.changes_since(700)
    shrinks = [at for at, _ in trace.sizes if at > 700]
    assert 700 + 2 * INTERVAL <= shrinks[0] <= 700 + 3 * INTERVAL
    assert (trace.last, trace.turns) == (1, 1)


@policies
def test_a_ramp_is_followed_one_worker_at_a_time(max_age: float | None) -> None:
    """A worker more whenever the ones before are at their limit, and none goes."""
    trace = traced(lambda at: at / 1000 * 6 * PACE, seconds=1000, max_age=max_age)
    assert [workers for _, workers in trace.sizes] in ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7])


@policies
def test_a_ramp_down_is_followed_without_a_turn(max_age: float | None) -> None:
    """From six workers' load to none."""
    trace = traced(lambda at: max(0.0, 1 - at / 1500) * 5.5 * PACE, seconds=1800, max_age=max_age)
    assert trace.turns == 1
    assert trace.last == 1


@policies
def test_a_burst_costs_one_turn_at_most(max_age: float | None) -> None:
    """Three seconds of five times what a worker carries, between quiet times."""
    trace = traced(lambda at: 5 * PACE if 200 <= at < 203 else 0.3 * PACE, seconds=600, max_age=max_age)
    assert trace.turns <= 1
    assert trace.last == 1
    assert trace.model.lag < PACE


@policies
@pytest.mark.parametrize("period", [10.0, 20.0, 40.0])
def test_a_sawtooth_within_two_intervals_is_one_load(period: float, max_age: float | None) -> None:
    """The pool is made for the peaks, and keeps the size from one to the next."""
    trace = traced(lambda at: 2 * PACE * (at % period) / period, seconds=1500, max_age=max_age)
    assert trace.turns == 0
    assert trace.changes_since(SETTLED) == 0


@policies
def test_a_load_beyond_the_most_holds_the_pool_there(max_age: float | None) -> None:
    """And once it is over the pool goes back to its least."""
    trace = traced(lambda at: 20 * PACE if at < 300 else 0.0, seconds=3000, max_age=max_age, most=4)
    assert max(workers for _, workers in trace.sizes) == 4
    assert (trace.last, trace.turns) == (1, 1)


@policies
@settings(max_examples=50, deadline=None)
@given(
    levels=st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(1.0, 200.0)), min_size=1, max_size=12),
    bounds=st.tuples(st.integers(1, 4), st.integers(0, 6)),
)
def test_bounds_and_intervals_hold_for_every_load(
    levels: list[tuple[float, float]], bounds: tuple[int, int], max_age: float | None
) -> None:
    """Steps of any height and length: `traced` checks that the pool stays within its bounds, and changes at most once
    per interval."""

    def load(at: float) -> float:
        for height, length in levels:
            if at < length:
                return height * PACE
            at -= length
        return 0.0

    least, more = bounds
    seconds = sum(length for _, length in levels)
    traced(load, seconds=seconds, max_age=max_age, workers=least, least=least, most=least + more)


@settings(max_examples=30, deadline=None)
@given(missed=st.lists(st.booleans(), min_size=600, max_size=600))
def test_observations_that_are_missing_never_change_a_pool(missed: list[bool]) -> None:
    """At a steady load beyond one worker: the size only grows, and only at an observation that was made."""
    scaling = Scaling(least=1, most=4, target=1.0, interval=INTERVAL)
    scaler = Scaler(scaling, 1)
    model = QueueModel(lambda _: 1.5 * PACE, pace=PACE, workers=1)
    for miss in missed:
        before, seen = scaler.workers, model.observe(scaling.period)
        after = scaler.decide(None if miss else seen).workers
        assert after == before if miss else after >= before
        model.resize(after)
