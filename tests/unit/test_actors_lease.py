"""A lease that nobody renews is acted upon once, and never while it is renewed."""

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from pipeline.actors import lease
from pipeline.actors.lease import EXIT_WITHOUT_LEASE, LeaseWatch
from pipeline.core.deadlines import Lease
from pipeline.testing.clock import FakeClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The time that leases see; it moves when a test says so."""
    made = FakeClock()
    monkeypatch.setattr(lease, "time", made)
    return made


class Watched:
    """A lease of 0.4 s, looked at every 0.1 s of real time, with a count of those looks."""

    def __init__(self, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.expiries: list[int] = []
        self.looks = 0
        honest = Lease.expired

        def counted(each: Lease, now: float) -> bool:
            self.looks += 1
            return honest(each, now)

        monkeypatch.setattr(Lease, "expired", counted)
        before = set(threading.enumerate())
        self.watch = LeaseWatch(0.4, lambda: self.expiries.append(threading.get_ident()))
        (self.watcher,) = set(threading.enumerate()) - before


def test_a_lease_that_nobody_renews_is_acted_upon_once(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    """In a thread of its own, since whoever should have renewed it is away; and nobody looks again."""
    watched = Watched(clock, monkeypatch)
    clock.advance(0.5)
    eventually(lambda: watched.expiries)
    assert len(watched.expiries) == 1
    assert watched.expiries != [threading.get_ident()]


def test_a_renewed_lease_holds(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    """For longer than it would have held by itself, and not a moment longer than the last renewal gives it."""
    watched = Watched(clock, monkeypatch)
    for _ in range(5):
        clock.advance(0.3)
        watched.watch.renew()
        looks = watched.looks
        eventually(lambda looks=looks: watched.looks > looks + 1, "a look at it")
    assert watched.expiries == []
    clock.advance(0.5)
    eventually(lambda: watched.expiries)


def test_a_lease_that_was_ended_never_expires(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    """As when a process is stopped in good order: nobody looks at it any more."""
    watched = Watched(clock, monkeypatch)
    eventually(lambda: watched.looks, "a look at it")
    watched.watch.end()
    eventually(lambda: not watched.watcher.is_alive(), "the end of the watch")
    clock.advance(10.0)
    assert watched.expiries == []


def test_a_process_that_hangs_while_it_tidies_up_ends_all_the_same() -> None:
    """With the status that says why."""
    program = (
        "import threading; from pipeline.actors.lease import end_within; end_within(0.1); threading.Event().wait()"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert done.returncode == EXIT_WITHOUT_LEASE
