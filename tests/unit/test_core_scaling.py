"""The rule of elastic pools, one observation at a time; 10 frames per second and worker, an interval of 10 s."""

from itertools import pairwise
from typing import Any

import pytest

from pipeline.core.scaling import Decision, Observation, Scaler, Scaling

SCALING = Scaling(least=1, most=8, target=1.0, interval=10.0)
PACE = 10


class Pool:
    """A pool as the rule sees it: every worker is busy with its pace unless a test says how many frames come."""

    def __init__(self, workers: int = 1, scaling: Scaling = SCALING) -> None:
        self.scaler = Scaler(scaling, workers)
        self.at = 0.0
        self.processed = self.shed = 0

    def look(self, *, seconds: float = 0.5, came: int | None = None, **changes: Any) -> Decision:
        """One observation, `seconds` after the last; what came was processed."""
        running = changes.get("running", self.scaler.workers)
        self.at += seconds
        self.processed += round(running * PACE * seconds) if came is None else came
        self.shed += changes.pop("shed", 0)
        seen = {"running": running, "lag": 0, "age": 0.1} | changes
        return self.scaler.decide(
            Observation(at=self.at, ended=self.processed + self.shed, processed=self.processed, shed=self.shed, **seen)
        )

    def looks(self, seconds: float, **each: Any) -> list[int]:
        """The numbers of workers that were wanted after each observation of so many seconds."""
        return [self.look(**each).workers for _ in range(round(seconds / 0.5))]


@pytest.mark.parametrize(
    ("interval", "period"), [(5.0, 0.2), (30.0, 1.0), (3600.0, 2.0)], ids=["shortest", "default", "longest"]
)
def test_a_pool_is_observed_some_times_while_it_may_fall_behind(interval: float, period: float) -> None:
    """At least five times within the fifth of an interval after which it grows, and not for ever."""
    scaling = Scaling(least=1, most=2, target=1.0, interval=interval)
    assert scaling.period == period
    assert scaling.rise >= 5 * period


def test_the_first_growth_waits_for_a_fifth_of_an_interval_of_old_frames_and_no_longer() -> None:
    """2 s here; the reason says how long frames waited."""
    pool = Pool()
    assert pool.looks(2.0, age=1.5) == [1, 1, 1, 1]
    decision = pool.look(age=1.5)
    assert (decision.workers, decision.reason) == (2, "frames waited 1.5 s")


def test_looks_that_take_long_make_the_window_longer() -> None:
    """A Kafka that answers slowly is no reason never to grow: four looks count, however long they take."""
    pool = Pool()
    assert [pool.look(seconds=1.5, age=1.5).workers for _ in range(4)] == [1, 1, 1, 2]


def test_frames_as_old_as_the_target_are_no_reason_to_grow() -> None:
    """It is what the pool is held to."""
    assert set(Pool().looks(30.0, age=1.0)) == {1}


def test_old_frames_in_fewer_than_half_of_the_looks_are_no_reason_to_grow() -> None:
    """A rebalance or a slow batch makes some."""
    pool = Pool()
    for _ in range(20):
        assert pool.look(age=9.0).workers == 1
        assert set(pool.looks(1.0)) == {1}


def test_shed_frames_are_a_reason_to_grow_though_no_frame_is_old() -> None:
    """Under `shed-oldest` neither age nor lag can grow, since what is too old goes."""
    pool = Pool()
    assert pool.looks(2.5, shed=3) == [1, 1, 1, 1, 2]
    calm = Pool()
    assert calm.looks(2.5) == [1, 1, 1, 1, 1]


def test_lag_counts_as_the_seconds_that_the_pool_needs_for_it_once_its_pace_is_known() -> None:
    """25 frames are 2.5 s of work for one worker; before the pool was ever behind nobody can tell."""
    assert set(Pool().looks(30.0, lag=25)) == {1}
    pool = Pool()
    pool.looks(2.5, age=1.5)
    assert pool.scaler.pace == PACE
    assert pool.looks(10.0, lag=60)[-1] == 3


@pytest.mark.parametrize(
    ("lag", "workers"), [(40, 4), (110, 5), (10_000, 6)], ids=["the next", "two more", "twice as many at most"]
)
def test_as_many_workers_are_added_as_the_rate_and_the_backlog_need(lag: int, workers: int) -> None:
    """Three carry 30 frames/s; the backlog is to be gone within an interval of 10 s."""
    assert Pool(3).looks(2.5, age=1.5, lag=lag) == [3, 3, 3, 3, workers]


def test_the_pool_never_grows_beyond_its_most() -> None:
    """However long frames wait."""
    pool = Pool(scaling=Scaling(least=1, most=3, target=1.0, interval=10.0))
    assert max(pool.looks(120.0, age=60.0, lag=10_000)) == 3
    assert pool.scaler.workers == 3


def test_nothing_changes_within_an_interval_of_a_change() -> None:
    """Frames go on waiting all the time."""
    pool = Pool()
    sizes = pool.looks(60.0, age=5.0, lag=10_000)
    changes = [0.5 * index for index in range(1, len(sizes)) if sizes[index] != sizes[index - 1]]
    assert len(changes) == 3
    assert all(later - earlier >= 10.0 for earlier, later in pairwise(changes))


def test_a_pool_grows_no_further_while_a_new_worker_is_not_up() -> None:
    """What is on its way may be enough; a cluster without room for it gets no more to place either."""
    pool = Pool()
    pool.looks(2.5, age=1.5)
    assert pool.scaler.workers == 2
    assert set(pool.looks(60.0, age=5.0, running=1)) == {2}
    assert pool.looks(2.5, age=5.0, running=2)[-1] > 2


def test_a_pool_through_which_nothing_gets_is_left_alone() -> None:
    """Workers that wait for a shard are not helped by more of them, which would wait beside them."""
    pool = Pool()
    pool.looks(2.5, age=1.5)
    assert set(pool.looks(60.0, came=0, age=None, lag=10_000, running=2)) == {2}


def grown(workers: int = 4) -> Pool:
    """A pool that has been behind, so that its pace is known, and has as many workers."""
    pool = Pool(workers // 2)
    pool.looks(2.5, age=1.5, lag=10_000)
    assert (pool.scaler.workers, pool.scaler.pace) == (workers, PACE)
    return pool


def test_a_calm_pool_shrinks_after_two_intervals_to_what_its_greatest_rate_needs() -> None:
    """8 frames in half a second are 16/s: two workers at four fifths of their pace; the reason names the rate."""
    pool = grown()
    assert set(pool.looks(20.0, came=8)) == {4}
    decisions = [pool.look(came=8) for _ in range(10)]
    assert next(each for each in decisions if each.workers < 4) == Decision(2, "16.0 frames/s came at most")


def test_a_rate_that_fewer_workers_would_just_carry_keeps_all() -> None:
    """26/s is more than four fifths of what three carry: they might fall behind, and the pool would flap."""
    assert set(grown().looks(200.0, came=13)) == {4}


def test_the_greatest_rate_of_two_intervals_counts() -> None:
    """Twenty quiet seconds between two peaks are no end of the load."""
    pool = grown()
    for _ in range(5):
        assert set(pool.looks(15.0, came=1) + pool.looks(3.0, came=14)) == {4}


@pytest.mark.parametrize("spoilt", [{"age": 0.6}, {"shed": 1}, {"lag": 30}], ids=["age", "shed", "lag"])
def test_one_look_that_is_not_calm_begins_the_two_intervals_anew(spoilt: dict[str, Any]) -> None:
    """More than half of the target, in age or in seconds of work, is near enough to being behind."""
    pool = grown()
    pool.looks(21.0, came=1)
    pool.look(came=1, **spoilt)
    assert set(pool.looks(20.0, came=1)) == {4}
    assert pool.looks(4.0, came=1)[-1] == 1


def test_the_pool_never_shrinks_below_its_least() -> None:
    """However little comes."""
    pool = Pool(scaling=Scaling(least=2, most=8, target=1.0, interval=10.0), workers=2)
    assert set(pool.looks(200.0, came=0, age=None)) == {2}


def test_a_pool_whose_pace_is_unknown_shrinks_one_by_one() -> None:
    """As one that a restarted supervisor found: the next size will tell whether it is enough."""
    sizes = Pool(3).looks(100.0, came=1)
    assert [size for index, size in enumerate(sizes) if not index or size != sizes[index - 1]] == [3, 2, 1]


@pytest.mark.parametrize("trouble", ["missing", "gap", "counters", "nobody"])
def test_what_cannot_be_observed_changes_nothing_and_begins_both_windows_anew(trouble: str) -> None:
    """Kafka away, a look that took too long, another process that counts from 0, and a pool that is all dead."""
    for before, after, waiting in ((1.0, 1.5, {"age": 5.0}), (15.0, 20.0, {"came": 1})):
        pool = grown()
        pool.looks(10.0, came=20)
        pool.looks(before, **waiting)
        if trouble == "missing":
            assert pool.scaler.decide(None) == Decision(4)
        elif trouble == "gap":
            assert pool.look(seconds=8.0, **waiting) == Decision(4)
        elif trouble == "counters":
            pool.processed = 0
        else:
            assert pool.look(running=0, **waiting) == Decision(4)
        assert set(pool.looks(after, **waiting)) == {4}
        assert pool.looks(4.0, **waiting)[-1] != 4


def test_the_age_of_slow_batches_is_remembered_between_them() -> None:
    """A worker that commits every few seconds says nothing of ages meanwhile, and its frames wait all the same."""
    pool = Pool()
    ages = [3.0, None, None, None, 3.0, None]
    assert [pool.look(age=age, lag=5).workers for age in ages][-1] == 2
    empty = Pool()
    assert {empty.look(age=age, lag=0).workers for age in ages * 5} == {1}


def test_a_pool_that_became_slower_is_measured_anew_when_it_is_behind() -> None:
    """Frames with more faces cost more: the pace is that of the latest time that frames waited."""
    pool = grown()
    pool.looks(9.5, came=10, age=1.5, lag=10)
    assert pool.scaler.pace == pytest.approx(5.0)


def test_the_pace_is_that_from_commit_to_commit() -> None:
    """One batch of 16 in two seconds is 8 frames/s, though a window of two seconds may have seen two of them end."""
    pool = Pool(scaling=Scaling(least=1, most=1, target=1.0, interval=10.0))
    for _ in range(8):
        pool.look(came=16, age=3.0, lag=50)
        for _ in range(3):
            pool.look(came=0, age=None, lag=50)
    assert pool.scaler.pace == pytest.approx(8.0)
