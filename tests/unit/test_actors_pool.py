"""The workers of a pool: which slots there are, and how those leave that are not wanted any more."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.actors import pool as module
from pipeline.actors.pool import LAST_WORDS_SECONDS, Pool
from pipeline.errors import ClusterError

DRAIN_SECONDS = 20.0


class FakeWorker:
    """A child whose drain ends when a test says so."""

    def __init__(self, slot: int) -> None:
        self.name = f"worker-{slot}"
        self.status: Any = SimpleNamespace(state="running", failure="")
        self.deaths = 0
        self.has_answered = True
        self.asked: list[tuple[Any, ...]] = []
        self.drained = False
        self.killed = 0
        self.word: Any = SimpleNamespace(state="stopped", failure="")

    def ask(self, method: str, *arguments: object) -> Any:
        """See the child."""
        self.asked.append((method, *arguments))
        return None if self.killed else self

    def vacate(self) -> None:
        """See the child."""
        self.status = None

    def hear(self, reply: Any, timeout: float) -> None:
        """See the child."""
        if isinstance(self.word, Exception):
            raise self.word
        self.status = self.word

    def kill(self) -> None:
        """See the child."""
        self.killed += 1


@pytest.fixture(autouse=True)
def ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ray that never waits: a worker's last words are there once it has drained."""

    def wait(references: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        assert timeout == 0
        return [each for each in references if each.drained], []

    monkeypatch.setattr(module, "ray", SimpleNamespace(wait=wait))


def pool_of(workers: int) -> Any:
    """A pool of fakes."""
    return Pool(FakeWorker, workers)  # type: ignore[arg-type]  # they are what is used of a child


def names(workers: Any) -> list[str]:
    """Their names, in order."""
    return [each.name for each in workers]


def test_a_pool_grows_by_the_next_slots() -> None:
    """Their processes are started when they are tended."""
    pool = pool_of(1)
    pool.resize(3, 0.0, DRAIN_SECONDS)
    assert names(pool.workers) == ["worker-0", "worker-1", "worker-2"]
    assert pool.leaving == []
    assert pool.running == 3


def test_a_pool_shrinks_by_its_highest_slots_which_drain() -> None:
    """They are no workers of the run from then on, and are asked to end within the time for it."""
    pool = pool_of(3)
    pool.resize(1, 0.0, DRAIN_SECONDS)
    assert (names(pool.workers), names(pool.leaving)) == (["worker-0"], ["worker-1", "worker-2"])
    assert [each.asked for each in pool.leaving] == [[("stop", DRAIN_SECONDS)]] * 2


def test_a_worker_that_leaves_is_ended_once_it_has_drained_and_keeps_its_lease_until_then() -> None:
    """Nobody waits for it, its last words are its status, and it has not died."""
    pool = pool_of(2)
    leaver = pool.workers[1]
    pool.resize(1, 0.0, DRAIN_SECONDS)
    assert pool.tend(DRAIN_SECONDS) == []
    assert (leaver.asked[1:], leaver.killed) == ([("renew",)], 0)
    leaver.drained = True
    assert pool.tend(DRAIN_SECONDS + 1.0) == [(leaver, "")]
    assert (leaver.killed, leaver.status, leaver.deaths, pool.leaving) == (1, leaver.word, 0, [])
    assert pool.tend(DRAIN_SECONDS + 2.0) == []


def test_a_worker_that_does_not_leave_in_time_is_ended_and_told_of() -> None:
    """Its partitions go to the others after the group's session time-out."""
    pool = pool_of(2)
    leaver = pool.workers[1]
    pool.resize(1, 0.0, DRAIN_SECONDS)
    assert pool.tend(0.99 * (DRAIN_SECONDS + LAST_WORDS_SECONDS)) == []
    assert pool.tend(DRAIN_SECONDS + LAST_WORDS_SECONDS) == [(leaver, "it did not end in time")]
    assert leaver.killed == 1


@pytest.mark.parametrize(
    ("word", "trouble"),
    [
        (SimpleNamespace(state="failed", failure="slot 1 did not finish"), "slot 1 did not finish"),
        (ClusterError("pushed out\nby others"), "pushed out by others"),
    ],
    ids=["failed", "unheard"],
)
def test_what_went_wrong_with_a_drain_is_told(word: Any, trouble: str) -> None:
    """In one line."""
    pool = pool_of(2)
    leaver = pool.workers[1]
    leaver.word, leaver.drained = word, True
    pool.resize(1, 0.0, DRAIN_SECONDS)
    assert pool.tend(1.0) == [(leaver, trouble)]
    assert leaver.killed == 1


def test_a_slot_is_used_again_by_a_new_process_and_remembers_its_deaths() -> None:
    """What its process before said is none of the new one's words."""
    pool = pool_of(2)
    leaver = pool.workers[1]
    leaver.drained, leaver.deaths = True, 3
    pool.resize(1, 0.0, DRAIN_SECONDS)
    pool.tend(1.0)
    assert sum(each.deaths for each in pool.slots) == 3
    pool.resize(3, 2.0, DRAIN_SECONDS)
    assert names(pool.workers) == ["worker-0", "worker-1", "worker-2"]
    assert (pool.workers[1], leaver.status, leaver.deaths) == (leaver, None, 3)


def test_a_worker_without_a_process_leaves_at_once() -> None:
    """It died a moment ago, and its replacement has not been started."""
    pool = pool_of(2)
    leaver = pool.workers[1]
    leaver.ask = lambda *_: None
    pool.resize(1, 0.0, DRAIN_SECONDS)
    assert pool.tend(0.0) == [(leaver, "")]


def test_a_worker_that_has_said_nothing_yet_is_ended_at_once() -> None:
    """Ray has no room for it: it would answer nothing for the whole drain, and nobody else could leave meanwhile."""
    pool = pool_of(2)
    leaver = pool.workers[1]
    leaver.has_answered = False
    pool.resize(1, 0.0, DRAIN_SECONDS)
    assert leaver.killed == 1
    assert pool.tend(0.0) == [(leaver, "")]


def test_an_adopted_worker_that_has_drained_is_replaced() -> None:
    """A supervisor that died while it shrank a pool left it: it would hold its slot and do nothing."""
    pool = pool_of(1)
    (worker,) = pool.workers
    worker.status = worker.word
    assert pool.tend(0.0) == []
    assert (worker.killed, worker.status, worker.deaths) == (1, None, 0)
