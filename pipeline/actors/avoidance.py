"""Replicas that failed or were late: avoided until one is seen to answer, which nobody waits for."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import ray
from ray.exceptions import RayError

from pipeline.core.replicas import Replica

LOOK_SECONDS: Final = 0.5
"""How often an avoided replica is asked whether it serves."""


@dataclass
class _Look:
    not_before: float
    reply: Any = None
    """What comes of the question that is on its way, if one is."""
    late: Any = None
    """What comes of the latest search that the replica was late with, if it was."""


class Avoidance:
    """The replicas that a worker had better not ask first; one thread uses it.

    Costs nothing while none is avoided. `find` gives a replica's actor, that of its replacement once there is one, or
    None; `forget` drops an actor that is dead.
    """

    def __init__(self, find: Callable[[Replica], Any], forget: Callable[[Replica], None]) -> None:
        self._find = find
        self._forget = forget
        self._looks: dict[Replica, _Look] = {}

    def __contains__(self, replica: object) -> bool:
        return replica in self._looks

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._looks)

    def __len__(self) -> int:
        return len(self._looks)

    def add(self, replica: Replica, late: Any = None) -> None:
        """Avoid a replica from now on; the only one of its shard never is, since there is no other to ask.

        `late` is the search that it has not answered in time, if that is why: its process may answer a question after
        its state all the same, so nothing less than this answer counts.
        """
        if replica.replicas > 1:
            look = self._looks.setdefault(replica, _Look(time.monotonic() + LOOK_SECONDS))
            if late is not None:
                look.late = late

    def trust(self, replica: Replica) -> None:
        """Ask a replica like any other again: it answered."""
        self._looks.pop(replica, None)

    def look(self) -> None:
        """Take in what has come of earlier questions, and ask anew where it is time; never waits for an answer."""
        now = time.monotonic()
        for replica, look in list(self._looks.items()):
            if look.late is not None:
                self._listen_late(replica, look)
            elif look.reply is not None:
                self._listen(replica, look, now)
            elif now >= look.not_before:
                actor = self._find(replica)
                look.not_before = now + LOOK_SECONDS
                look.reply = None if actor is None else actor.status.remote()

    def _listen_late(self, replica: Replica, look: _Look) -> None:
        came, _ = ray.wait([look.late], timeout=0)
        if not came:
            return
        late, look.late, look.reply = look.late, None, None
        try:
            ray.get(late)
        except RayError:
            self._forget(replica)  # its process is gone, or in trouble: its successor or its state is asked for
        else:
            self.trust(replica)

    def _listen(self, replica: Replica, look: _Look, now: float) -> None:
        came, _ = ray.wait([look.reply], timeout=0)
        if not came:
            return
        reply, look.reply, look.not_before = look.reply, None, now + LOOK_SECONDS
        try:
            state = ray.get(reply).state
        except RayError:
            self._forget(replica)
        else:
            if state == "running":
                self.trust(replica)
