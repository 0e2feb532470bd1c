"""Overload is a policy: one waits, one sheds what is too old when its turn comes."""

from pipeline.core.pressure import Overload, Policy

SECOND = 10**9
NOW_NS = 1_790_000_000 * SECOND


def test_shed_oldest_sheds_what_is_older_than_the_limit() -> None:
    """The order is kept, and a frame exactly as old as the limit still has its turn."""
    overload = Overload(Policy.SHED_OLDEST, 2 * SECOND)
    frames = [("a", NOW_NS - 2 * SECOND), ("b", NOW_NS - 2 * SECOND - 1), ("c", NOW_NS), ("d", NOW_NS - 9 * SECOND)]
    kept, shed = overload.split(frames, lambda frame: frame[1], NOW_NS)
    assert [name for name, _ in kept] == ["a", "c"]
    assert [name for name, _ in shed] == ["b", "d"]


def test_block_sheds_nothing_by_age() -> None:
    """The backlog waits, however old it is."""
    overload = Overload(Policy.BLOCK, 2 * SECOND)
    assert overload.split([0, NOW_NS], lambda instant: instant, NOW_NS) == ([0, NOW_NS], [])


def test_fast_clock_is_not_old() -> None:
    """A frame from a little in the future is kept."""
    assert not Overload(Policy.SHED_OLDEST, 0).sheds(age_ns=-1)


def test_policies_have_the_names_of_the_settings() -> None:
    """What the user writes is the policy."""
    assert Policy("shed-oldest") is Policy.SHED_OLDEST
    assert Policy("block") is Policy.BLOCK
