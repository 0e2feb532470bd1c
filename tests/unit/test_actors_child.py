"""What a supervisor does with one process: creates or adopts it, believes it alive while it answers, replaces it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, GetTimeoutError, RaySystemError

from pipeline.actors import child as module
from pipeline.actors.child import BACKOFF, BIRTH_SECONDS, SILENCE_SECONDS, STABLE_SECONDS, Child

Answer = Callable[[], Any]


class Actors:
    """A Ray of one name: what `status` answers is up to the test."""

    def __init__(self) -> None:
        self.created = 0
        self.killed = 0
        self.renewed = 0
        self.refuses: Exception | None = None
        self.answer: Answer = running

    def create(self) -> Any:
        """An actor handle, or the refusal to make one."""
        if self.refuses is not None:
            raise self.refuses
        self.created += 1
        return SimpleNamespace(
            renew=SimpleNamespace(remote=self._renew),
            status=SimpleNamespace(remote=lambda _: "a reference"),
            stop=SimpleNamespace(remote=lambda seconds: ("stop", seconds)),
        )

    def get(self, reference: str, timeout: float) -> Any:
        """Ray's get: never waits."""
        assert (reference, timeout) == ("a reference", 0)
        return self.answer()

    def kill(self, _: Any, no_restart: bool) -> None:
        """Ray's kill."""
        assert no_restart
        self.killed += 1

    def _renew(self) -> None:
        self.renewed += 1


@pytest.fixture
def actors(monkeypatch: pytest.MonkeyPatch) -> Actors:
    """A Ray that a child sees in place of the real one; pauses have their full length."""
    made = Actors()
    monkeypatch.setattr(module, "ray", made)
    monkeypatch.setattr(module.random, "random", lambda: 1.0)
    return made


def running() -> Any:
    """A status that says all is well."""
    return SimpleNamespace(state="running", failure="")


def failing(error: Exception) -> Answer:
    """An answer that is none."""

    def answer() -> Any:
        raise error

    return answer


def test_a_process_that_answers_keeps_its_lease(actors: Actors) -> None:
    """Each look renews it and takes its status in."""
    child: Child[Any] = Child("worker-0", actors.create)
    for second in range(5):
        child.tend(float(second))
    assert (actors.created, actors.renewed, child.deaths) == (1, 5, 0)
    assert child.status.state == "running"
    assert child.ask("stop", 3.0) == ("stop", 3.0)


def test_a_dead_process_is_replaced_after_a_pause_that_grows(actors: Actors) -> None:
    """Not at once, lest a process that cannot live takes all the machine."""
    child: Child[Any] = Child("worker-0", actors.create)
    child.tend(0.0)
    now = 0.0
    for deaths in (1, 2, 3):
        actors.answer = failing(ActorDiedError())
        child.tend(now)
        assert (child.deaths, actors.killed, child.ask("stop", 0.0)) == (deaths, deaths, None)
        pause = BACKOFF.pause(deaths, 1.0)
        child.tend(now + 0.99 * pause)
        assert actors.created == deaths
        actors.answer = running
        now += 1.01 * pause
        child.tend(now)
        assert actors.created == deaths + 1
    assert child.failures == 3
    assert child.stillborn == 0


def test_a_silent_process_is_replaced(actors: Actors) -> None:
    """It answered before, and does so no more."""
    child: Child[Any] = Child("worker-0", actors.create)
    child.tend(0.0)
    child.tend(1.0)
    actors.answer = failing(GetTimeoutError())
    child.tend(1.0 + SILENCE_SECONDS)
    assert child.deaths == 0
    child.tend(1.1 + SILENCE_SECONDS)
    assert child.deaths == 1
    assert "said nothing" in child.last_error


def test_a_process_that_is_still_loading_has_longer(actors: Actors) -> None:
    """Silence before the first answer is no sign of death for a while."""
    actors.answer = failing(GetTimeoutError())
    child: Child[Any] = Child("worker-0", actors.create)
    child.tend(0.0)
    child.tend(BIRTH_SECONDS)
    assert (child.deaths, child.stillborn) == (0, 0)
    child.tend(BIRTH_SECONDS + 0.1)
    assert (child.deaths, child.stillborn) == (1, 1)


def test_a_process_that_says_it_failed_is_replaced(actors: Actors) -> None:
    """Its last status stays to be read."""
    actors.answer = lambda: SimpleNamespace(state="failed", failure="Kafka went away")
    child: Child[Any] = Child("worker-0", actors.create)
    child.tend(0.0)
    assert (child.deaths, child.failures, child.stillborn, child.status.failure) == (1, 1, 0, "Kafka went away")


@pytest.mark.parametrize("words", [False, True], ids=["silent", "starting"])
def test_processes_that_never_come_up_are_counted_until_one_does(actors: Actors, words: bool) -> None:
    """They are what a supervisor gives up on, unlike one that works and is killed."""
    child: Child[Any] = Child("worker-0", actors.create)
    for attempt in (1, 2, 3):
        if words:
            actors.answer = lambda: SimpleNamespace(state="starting", failure="")
            child.tend(attempt * 100.0)
        actors.answer = failing(ActorDiedError())
        child.tend(attempt * 100.0 + 1.0)
        assert child.stillborn == attempt
    actors.answer = running
    child.tend(400.0)
    actors.answer = failing(ActorDiedError())
    child.tend(401.0)
    assert child.stillborn == 0


def test_a_cluster_that_refuses_a_process_is_asked_again(actors: Actors) -> None:
    """The thread that tends goes on, and the refusal is kept."""
    actors.refuses = RaySystemError("no room")
    child: Child[Any] = Child("worker-0", actors.create)
    child.tend(0.0)
    assert (child.deaths, child.stillborn) == (1, 1)
    assert "no room" in child.last_error
    actors.refuses = None
    child.tend(100.0)
    assert child.status.state == "running"


def test_a_stable_time_earns_a_clean_record(actors: Actors) -> None:
    """Failures long ago do not add up."""
    child: Child[Any] = Child("worker-0", actors.create)
    actors.answer = failing(ActorDiedError())
    child.tend(0.0)
    actors.answer = running
    child.tend(100.0)
    assert child.failures == 1
    child.tend(101.0 + STABLE_SECONDS)
    assert child.failures == 0
