"""Overload is a policy: one waits, one sheds what is too old when its turn comes."""

from pipeline.core.pressure import Overload, Policy

SECOND = 10**9


def test_shed_oldest_sheds_what_is_older_than_the_limit() -> None:
    """A frame exactly as old as the limit still has its turn."""
    overload = Overload(Policy.SHED_OLDEST, 2 * SECOND)
    assert [overload.sheds(age_ns) for age_ns in (0, 2 * SECOND, 2 * SECOND + 1, 9 * SECOND)] == [
        False,
        False,
        True,
        True,
    ]


def test_block_sheds_nothing_by_age() -> None:
    """The backlog waits, however old it is."""
    assert not Overload(Policy.BLOCK, 2 * SECOND).sheds(age_ns=10**6 * SECOND)


def test_fast_clock_is_not_old() -> None:
    """A frame from a little in the future is kept."""
    assert not Overload(Policy.SHED_OLDEST, 0).sheds(age_ns=-1)


def test_policies_have_the_names_of_the_settings() -> None:
    """What the user writes is the policy."""
    assert Policy("shed-oldest") is Policy.SHED_OLDEST
    assert Policy("block") is Policy.BLOCK
