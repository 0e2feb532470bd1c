"""What a supervisor does with one process: creates or adopts it, believes it alive while it answers, replaces it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from ray.exceptions import ActorDiedError, GetTimeoutError, RaySystemError

from pipeline.actors import child as module
from pipeline.actors.child import (
    BACKOFF,
    BIRTH_SECONDS,
    PARTING_SECONDS,
    SILENCE_SECONDS,
    STABLE_SECONDS,
    Child,
)
from pipeline.actors.parcel import Parcels
from pipeline.actors.shard_reply import CALL_BYTES

Answer = Callable[[], Any]


class Status(msgspec.Struct):
    """What the tests' processes say of themselves."""

    state: str
    failure: str = ""


class Actors:
    """A Ray of one name: what `report` answers is up to the test."""

    def __init__(self) -> None:
        self.created = 0
        self.killed = 0
        self.renewed = 0
        self.refuses: Exception | None = None
        self.answer: Answer = running
        self.left = False
        """Whether a process that was asked to stop has done so."""
        self.parcels = Parcels()

    def create(self) -> Any:
        """An actor handle, or the refusal to make one."""
        if self.refuses is not None:
            raise self.refuses
        self.created += 1
        return SimpleNamespace(
            renew=SimpleNamespace(remote=self._renew),
            report=SimpleNamespace(remote=lambda _: "a reference"),
            fetch=SimpleNamespace(remote=self.parcels.fetch),
            stop=SimpleNamespace(remote=lambda seconds: ("stop", seconds)),
        )

    def get(self, reference: str | list[bytes], timeout: float) -> Any:
        """Ray's get: never waits."""
        assert timeout == 0
        if not isinstance(reference, str):
            return reference
        return self.parcels.post(msgspec.msgpack.encode(self.answer()))

    def wait(self, references: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        """Ray's wait: never waits."""
        assert (references, timeout) == ([("stop", PARTING_SECONDS)], 0)
        return (references, []) if self.left else ([], references)

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


@pytest.fixture
def child(actors: Actors) -> Child[Any]:
    """One that nobody has looked at yet."""
    return Child("worker-0", actors.create, msgspec.msgpack.Decoder(Status).decode)


def running() -> Any:
    """A status that says all is well."""
    return Status("running")


def failing(error: Exception) -> Answer:
    """An answer that is none."""

    def answer() -> Any:
        raise error

    return answer


def test_a_process_that_answers_keeps_its_lease(actors: Actors, child: Child[Any]) -> None:
    """Each look renews it and takes its status in."""
    for second in range(5):
        child.tend(float(second))
    assert (actors.created, actors.renewed, child.deaths) == (1, 5, 0)
    assert child.status.state == "running"
    assert child.ask("stop", 3.0) == ("stop", 3.0)


def test_a_dead_process_is_replaced_after_a_pause_that_grows(actors: Actors, child: Child[Any]) -> None:
    """Not at once, lest a process that cannot live takes all the machine."""
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


def test_a_silent_process_is_replaced(actors: Actors, child: Child[Any]) -> None:
    """It answered before, and does so no more."""
    child.tend(0.0)
    child.tend(1.0)
    actors.answer = failing(GetTimeoutError())
    child.tend(1.0 + SILENCE_SECONDS)
    assert child.deaths == 0
    child.tend(1.1 + SILENCE_SECONDS)
    assert child.deaths == 1
    assert "said nothing" in child.last_error


def test_a_process_that_is_still_loading_has_longer(actors: Actors, child: Child[Any]) -> None:
    """Silence before the first answer is no sign of death for a while."""
    actors.answer = failing(GetTimeoutError())
    child.tend(0.0)
    child.tend(BIRTH_SECONDS)
    assert (child.deaths, child.stillborn) == (0, 0)
    child.tend(BIRTH_SECONDS + 0.1)
    assert (child.deaths, child.stillborn) == (1, 1)


def test_a_process_that_loads_may_fall_silent_for_as_long(actors: Actors, child: Child[Any]) -> None:
    """It said that it is starting, which is not being up: what it loads may keep it from answering."""
    actors.answer = lambda: Status("starting")
    child.tend(0.0)
    actors.answer = failing(GetTimeoutError())
    child.tend(BIRTH_SECONDS)
    assert child.deaths == 0
    child.tend(BIRTH_SECONDS + 0.1)
    assert child.deaths == 1


def test_a_process_that_says_it_failed_is_replaced_once_it_has_left(actors: Actors, child: Child[Any]) -> None:
    """Killed in the midst of leaving its group, it would hold its partitions; its last status stays to be read."""
    actors.answer = lambda: Status("failed", "Kafka went away")
    child.tend(0.0)
    child.tend(0.25)
    assert (child.deaths, actors.killed) == (0, 0)
    actors.left = True
    child.tend(0.5)
    assert (child.deaths, child.failures, child.stillborn, child.status.failure) == (1, 1, 1, "Kafka went away")
    assert (child.last_error, child.last_death, actors.killed) == ("Kafka went away", 0.5, 1)


def test_a_failed_process_that_does_not_leave_is_replaced_all_the_same(actors: Actors, child: Child[Any]) -> None:
    """Its successor is not to wait for long."""
    child.tend(0.0)
    assert child.was_up
    actors.answer = lambda: Status("failed")
    child.tend(0.0)
    child.tend(0.99 * PARTING_SECONDS)
    assert child.deaths == 0
    child.tend(PARTING_SECONDS)
    assert (child.deaths, actors.killed, child.stillborn, child.was_up) == (1, 1, 0, True)
    child.tend(PARTING_SECONDS + 1.01 * BACKOFF.pause(1, 1.0))
    assert not child.was_up


def test_a_report_in_several_parts_is_put_together(actors: Actors, child: Child[Any]) -> None:
    """Its further parts are asked for at one look and taken in at the next, and nobody waits for them."""
    actors.answer = lambda: Status("running", "x" * (3 * CALL_BYTES))
    child.tend(0.0)
    assert child.status is None
    child.tend(0.25)
    assert child.status.failure == "x" * (3 * CALL_BYTES)
    assert actors.renewed == 1


def test_a_report_that_was_pushed_out_is_asked_for_again(actors: Actors, child: Child[Any]) -> None:
    """It is neither an answer nor a death."""
    actors.answer = lambda: Status("running", "x" * (2 * CALL_BYTES))
    child.tend(0.0)
    child._pending = [b""]
    child.tend(0.25)
    assert (child.status, child.deaths) == (None, 0)
    actors.answer = running
    child.tend(0.5)
    assert child.status.state == "running"


@pytest.mark.parametrize("words", [False, True], ids=["silent", "starting"])
def test_processes_that_never_come_up_are_counted_until_one_does(
    actors: Actors, child: Child[Any], words: bool
) -> None:
    """They are what a supervisor gives up on, unlike one that works and is killed."""
    for attempt in (1, 2, 3):
        if words:
            actors.answer = lambda: Status("starting")
            child.tend(attempt * 100.0)
        actors.answer = failing(ActorDiedError())
        child.tend(attempt * 100.0 + 1.0)
        assert child.stillborn == attempt
    actors.answer = running
    child.tend(400.0)
    actors.answer = failing(ActorDiedError())
    child.tend(401.0)
    assert child.stillborn == 0


def test_a_cluster_that_refuses_a_process_is_asked_again(actors: Actors, child: Child[Any]) -> None:
    """The thread that tends goes on, and the refusal is kept."""
    actors.refuses = RaySystemError("no room")
    child.tend(0.0)
    assert (child.deaths, child.stillborn) == (1, 1)
    assert "no room" in child.last_error
    actors.refuses = None
    child.tend(100.0)
    assert child.status.state == "running"


def test_a_stable_time_earns_a_clean_record(actors: Actors, child: Child[Any]) -> None:
    """Failures long ago do not add up."""
    actors.answer = failing(ActorDiedError())
    child.tend(0.0)
    actors.answer = running
    child.tend(100.0)
    assert child.failures == 1
    child.tend(101.0 + STABLE_SECONDS)
    assert child.failures == 0


def test_a_process_has_answered_once_it_has_said_anything(actors: Actors, child: Child[Any]) -> None:
    """Not its predecessor, whose last status stays to be read."""
    assert not child.has_answered
    child.tend(0.0)
    assert child.has_answered
    actors.answer = failing(ActorDiedError())
    child.tend(1.0)
    assert not child.has_answered
    actors.answer = failing(GetTimeoutError())
    child.tend(1.0 + 1.01 * BACKOFF.pause(1, 1.0))
    assert (actors.created, child.has_answered, child.status.state) == (2, False, "running")


def test_a_slot_that_is_used_anew_has_no_record_of_bad_starts(actors: Actors, child: Child[Any]) -> None:
    """Ray had no room for the process before, which is no news of the next one."""
    actors.answer = failing(ActorDiedError())
    child.tend(0.0)
    assert child.stillborn == 1
    child.vacate()
    assert (child.status, child.stillborn, child.deaths) == (None, 0, 1)
