"""A Ray whose shards the test plays, with a clock of its own: nothing waits, and every wait is seen."""

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, GetTimeoutError, RayTaskError

from pipeline.actors import avoidance, gallery, replicas
from pipeline.actors.shard_reply import pack
from pipeline.errors import ShardUnavailable
from pipeline.records import Candidate, ShardReply


@dataclass
class Played:
    """What a replica does when it is asked."""

    version: int = 7
    after: float = 0.0
    """Seconds until it answers a search; infinity if that hangs."""
    silent: bool = False
    """Whether it does not even tell its state."""
    raises: Exception | None = None
    """What comes of its calls instead."""
    state: str = "running"
    catches_up: bool = False
    """Whether it reaches the version that it is asked for."""


def failing(cause: Exception) -> RayTaskError:
    """What a call gives whose method raised `cause`."""
    return RayTaskError("search", "", cause)


def starting() -> Played:
    """One that reads the topic still."""
    return Played(raises=failing(ShardUnavailable("shard-0.1 is starting")), state="starting")


def dying() -> Played:
    """One whose process is gone."""
    return Played(raises=ActorDiedError())


def hanging() -> Played:
    """One whose process says nothing any more."""
    return Played(after=math.inf, silent=True)


def stuck() -> Played:
    """One whose searches hang while it tells its state."""
    return Played(after=math.inf)


@dataclass(eq=False)
class Call:
    """A call on its way."""

    ready: float
    result: Any
    raises: Exception | None = None


class PlayedRay:
    """Stands in for the modules ray and time of a worker's gallery; `actors` gives those that are there, by name."""

    def __init__(self, actors: dict[str, Played]) -> None:
        self.actors = actors
        self.now = 0.0
        self.searched: list[str] = []
        """The replicas that were asked to search, in order."""
        self.gets = 0
        self.waits = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of both modules."""
        for module in (avoidance, replicas):
            monkeypatch.setattr(module, "ray", self)
        for module in (avoidance, gallery, replicas):
            monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        """Time's clock."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Time's sleep."""
        self.now += seconds

    def get_actor(self, name: str, namespace: str) -> Any:
        """Ray's get_actor; the handle of one that dies stays that of the dead one."""
        if name not in self.actors:
            raise ValueError(name)
        played = self.actors[name]
        return SimpleNamespace(
            search=SimpleNamespace(remote=lambda *asked: self._search(name, played, asked[3])),
            status=SimpleNamespace(remote=lambda: self._status(played)),
        )

    def get(self, calls: Any, timeout: float = math.inf) -> Any:
        """Ray's get: raises what a call raises as soon as it does."""
        self.gets += 1
        if isinstance(calls, Call):
            return self.get([calls], timeout)[0]
        failed = [call for call in calls if call.raises is not None]
        done = min((call.ready for call in failed), default=max((call.ready for call in calls), default=self.now))
        self.now = max(self.now, min(done, self.now + timeout))
        if done > self.now:
            raise GetTimeoutError
        if failed:
            raise next(call.raises for call in failed if call.ready <= self.now)
        return [call.result for call in calls]

    def wait(self, calls: list[Call], timeout: float) -> tuple[list[Call], list[Call]]:
        """Ray's wait for one of several."""
        self.waits += 1
        first = min(calls, key=lambda call: call.ready)
        self.now = max(self.now, min(first.ready, self.now + timeout))
        return ([first] if first.ready <= self.now else []), [call for call in calls if call is not first]

    def _search(self, name: str, played: Played, version: int) -> Call:
        self.searched.append(name)
        shard = int(name.removeprefix("shard-").partition(".")[0])
        has = max(played.version, version) if played.catches_up else played.version
        reply = ShardReply(shard, has, 1, ((Candidate(f"p{shard}", 0.5, has),),))
        return Call(self.now + played.after, pack(reply), played.raises)

    def _status(self, played: Played) -> Call:
        died = played.raises if isinstance(played.raises, ActorDiedError) else None
        return Call(math.inf if played.silent else self.now, SimpleNamespace(state=played.state), died)
