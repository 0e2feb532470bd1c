"""A reply of any size on its way through Ray, in parts that each stay out of Ray's object store.

An actor posts a reply and returns its first part; whoever asked fetches the rest by number. Most replies have one part.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import ray

from pipeline.actors.shard_reply import CALL_BYTES
from pipeline.errors import ClusterError

REPLIES_KEPT: Final = 4
"""Replies whose parts can be fetched: a run may have two commands, and each may have given one up."""


class Part(msgspec.Struct, frozen=True):
    """The first part of a reply."""

    reply: int
    """Number of the reply among the actor's."""
    parts: int
    """How many the reply has."""
    content: bytes
    """The first `CALL_BYTES` of it, or all."""

    @property
    def rest(self) -> range:
        """Indexes of the parts that are still to be fetched."""
        return range(1, self.parts)


class Parcels:
    """The latest replies of one actor; any thread may post and fetch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._posted = 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def post(self, content: bytes) -> Part:
        """Keep a reply until `REPLIES_KEPT` others have been posted, and return its first part."""
        with self._lock:
            self._posted += 1
            if len(content) > CALL_BYTES:
                self._kept[self._posted] = content
                if len(self._kept) > REPLIES_KEPT:
                    self._kept.popitem(last=False)
            return Part(self._posted, max(1, -(-len(content) // CALL_BYTES)), content[:CALL_BYTES])

    def fetch(self, reply: int, index: int) -> bytes:
        """Part `index` of that reply; empty if it is no longer kept."""
        with self._lock:
            return self._kept.get(reply, b"")[index * CALL_BYTES : (index + 1) * CALL_BYTES]


def joined(first: Part, rest: Sequence[bytes]) -> bytes | None:
    """The whole reply from its first part and all others in order; None if one of them was no longer kept."""
    return b"".join([first.content, *rest]) if all(rest) else None


def collect(actor: Any, first: Any, timeout: float) -> bytes:
    """Wait for the reply whose first part is the reference `first`, and fetch its other parts from `actor`.

    Each of the two waits takes up to `timeout` seconds. Raises ClusterError if other replies pushed it out meanwhile,
    and Ray's own errors.
    """
    part: Part = ray.get(first, timeout=timeout)
    rest = [actor.fetch.remote(part.reply, index) for index in part.rest]
    whole = joined(part, ray.get(rest, timeout=timeout))
    if whole is None:
        raise ClusterError("a reply was pushed out by newer ones before all of it was fetched")
    return whole
