"""One process that a supervisor keeps alive: a named, detached actor, its latest status and its failures."""

import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError

from pipeline.actors.parcel import Part, collect, joined
from pipeline.core.deadlines import Backoff

SILENCE_SECONDS = 10.0
"""A process that has answered nothing for as long is killed and replaced."""
BACKOFF = Backoff(first=0.25, factor=2.0, limit=4.0)
"""Pauses before the replacement of a process that keeps failing."""
BIRTH_SECONDS = 60.0
"""The same for a process that is not up yet: on a busy machine it has much to load, and may not answer meanwhile."""
PARTING_SECONDS = 2.0
"""What a process that failed may take to leave its group: killed at once, it would hold its partitions for longer."""
STABLE_SECONDS = 30.0
"""A process that lived as long has earned a clean record."""


class Status(Protocol):
    """What every child reports."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def state(self) -> str:
        """starting, running, failed or stopped."""

    @property
    def failure(self) -> str:
        """Why it failed."""

    @property
    def recoverable(self) -> bool:
        """Whether a replacement may do better."""


S = TypeVar("S", bound=Status)


class Child(Generic[S]):
    """Creates or adopts an actor by name, polls it without waiting, and replaces it when it is gone."""

    def __init__(self, name: str, create: Callable[[], Any], decode: Callable[[bytes], S]) -> None:
        """`create` makes or finds the actor; `decode` reads the replies of its `report` and `stop`."""
        self.name = name
        self.status: S | None = None
        self.deaths = 0
        self.last_death = 0.0
        """When the latest of them was replaced, by the clock that `tend` is given."""
        self._create = create
        self._decode = decode
        self._actor: Any = None
        self._pending: Any = None
        self._first: Part | None = None
        self._parting: Any = None
        self._part_by = 0.0
        self._born = 0.0
        self._heard = 0.0
        self._has_answered = False
        self._was_up = False
        self._failures = 0
        self._stillborn = 0
        self._not_before = 0.0
        self._last_error = ""

    @property
    def has_answered(self) -> bool:
        """Whether its current process has said anything; one that Ray has no room for never does."""
        return self._actor is not None and self._has_answered

    @property
    def was_up(self) -> bool:
        """Whether its current process, or the latest if there is none, was ever seen running."""
        return self._was_up

    @property
    def failures(self) -> int:
        """Failures in a row, without a stable time between."""
        return self._failures

    @property
    def stillborn(self) -> int:
        """Processes in a row that died or failed before they were up, such as one that finds no model."""
        return self._stillborn

    @property
    def last_error(self) -> str:
        """How the latest of them ended, in a line."""
        return self._last_error

    def adopt(self, run: str) -> None:
        """Take over the actor of its name, if there is one; unlike `tend` it never creates it."""
        if self._actor is None:
            with suppress(ValueError):
                self._actor = ray.get_actor(self.name, namespace=run)

    def tend(self, now: float) -> None:
        """Create or adopt the actor, renew its lease, take in its status; never waits."""
        if self._actor is None and now < self._not_before:
            return
        try:
            if self._actor is None:
                self._born = self._heard = now
                self._has_answered = self._was_up = False
                self._actor = self._create()
            if now - self._born > STABLE_SECONDS:
                self._failures = 0
            if self._parting is not None:
                self._part(now)
                return
            if self._pending is None:
                self._actor.renew.remote()
                self._pending = self._actor.report.remote(int(time.time()) - 10)
            said = self._listen(now)
        except GetTimeoutError:
            silence = now - self._heard
            if silence > (SILENCE_SECONDS if self._was_up else BIRTH_SECONDS):
                self._last_error = f"it said nothing for {silence:.0f} s"
                self._replace(now)
        except RayError as error:
            self._last_error = " ".join(str(error).split())
            self._replace(now)
        else:
            if said is not None and said.state == "failed":
                self._last_error = said.failure
                self._parting = self._actor.stop.remote(PARTING_SECONDS)
                self._part_by = now + PARTING_SECONDS

    def ask(self, method: str, *arguments: object) -> Any:
        """Call a method of the actor; returns the reference, or None if there is no actor."""
        return None if self._actor is None else getattr(self._actor, method).remote(*arguments)

    def hear(self, reply: Any, timeout: float) -> None:
        """Wait for a reply to `ask`, and take the status in it in; raises ClusterError and Ray's own errors."""
        self.status = self._decode(collect(self._actor, reply, timeout))

    def vacate(self) -> None:
        """Forget what the process before said and how it started: it left, and the next one begins anew."""
        self.status = None
        self._stillborn = 0

    def kill(self) -> None:
        """End the actor's process."""
        if self._actor is not None:
            ray.kill(self._actor, no_restart=True)
            self._actor = None
        self._pending = self._first = self._parting = None

    def _listen(self, now: float) -> S | None:
        """Take in what has come of a report, and ask for its further parts; the status once it is whole."""
        came = ray.get(self._pending, timeout=0)
        self._heard = now
        self._has_answered = True
        if self._first is None:
            if came.rest:
                self._first = came
                self._pending = [self._actor.fetch.remote(came.reply, index) for index in came.rest]
                return None
            whole = came.content
        else:
            whole = joined(self._first, came)
        self._pending = self._first = None
        if whole is None:
            return None
        self.status = status = self._decode(whole)
        self._was_up = self._was_up or status.state == "running"
        return status

    def _part(self, now: float) -> None:
        """Replace a process that failed once it has left its group, or its time for that is over."""
        left, _ = ray.wait([self._parting], timeout=0)
        if left or now >= self._part_by:
            self._replace(now)

    def _replace(self, now: float) -> None:
        self.kill()
        self._stillborn = 0 if self._was_up else self._stillborn + 1
        self.deaths += 1
        self.last_death = now
        self._failures += 1
        self._not_before = now + BACKOFF.pause(self._failures, random.random())


def names_there(run: str, children: Iterable[Child[Any]]) -> set[str]:
    """The names of those whose actors a run has already."""
    there = set()
    for child in children:
        with suppress(ValueError):
            ray.get_actor(child.name, namespace=run)
            there.add(child.name)
    return there
