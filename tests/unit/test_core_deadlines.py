"""Leases run out when nobody renews them; pauses grow and stay bounded."""

import pytest

from pipeline.core.deadlines import Backoff, Lease


def test_lease_holds_for_its_seconds() -> None:
    """It runs out after its length, counted from the last renewal."""
    lease = Lease(renewed=100.0, seconds=20.0)
    assert not lease.expired(120.0)
    assert lease.expired(120.1)
    assert not lease.renew(110.0).expired(130.0)


def test_late_renewal_does_not_shorten_a_lease() -> None:
    """Renewals that overtook each other count once, the later one."""
    assert Lease(100.0, 20.0).renew(90.0) == Lease(100.0, 20.0)


def test_remaining_time_ends_at_zero() -> None:
    """It can be used as a time-out."""
    lease = Lease(100.0, 20.0)
    assert lease.remaining(115.0) == 5.0
    assert lease.remaining(500.0) == 0.0


def test_pauses_grow_to_the_limit() -> None:
    """Each failure doubles the pause, up to the limit, however long the outage."""
    backoff = Backoff(first=0.1, factor=2.0, limit=1.0)
    assert [round(backoff.pause(n, spread=1.0), 3) for n in (1, 2, 3, 4, 5, 10_000)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_spread_keeps_half_of_the_pause() -> None:
    """Processes that failed together come back at different times, none at once."""
    assert Backoff(first=1.0).pause(1, spread=0.0) == 0.5
    assert Backoff(first=1.0).pause(1, spread=0.5) == 0.75


def test_pause_needs_a_failure() -> None:
    """Without a failure there is nothing to wait for."""
    with pytest.raises(ValueError, match="after 0 failures"):
        Backoff().pause(0, spread=0.5)
