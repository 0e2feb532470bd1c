"""Watchlist shards as actors of a real Ray, the topic that they follow, and the gallery of a worker that asks them."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.actors.gallery import RayGallery
from pipeline.actors.watchlist_shard import ShardParts, ShardStatus, WatchlistShard
from pipeline.core.replicas import Replica
from pipeline.core.sharding import shard_of
from pipeline.records import OutgoingRecord, Probes, WatchlistEntry
from pipeline.streams.client import Connection
from pipeline.streams.writer import RecordWriter
from pipeline.testing.telemetry import FakeTelemetry
from pipeline.wire.watchlist import encode, encode_removal

D = 128
SHARDS = 2
NOW_NS = time.time_ns()


def template(axis: int) -> NDArray[np.float32]:
    """A unit vector along one axis."""
    vector = np.zeros(D, np.float32)
    vector[axis] = 1.0
    return vector


def probe(axis: int, capture_ns: int = NOW_NS) -> Probes:
    """One face that looks like the template of that axis."""
    return Probes(template(axis)[None], np.array([capture_ns], np.int64))


class Watchlist:
    """Writes to the topic under ids of this test's own."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._writer = RecordWriter(connection)
        self._prefix = prefix
        self._names: set[str] = set()

    def name(self, number: int, shard: int) -> str:
        """An id, different for each number, that lies in a shard."""
        candidates = (f"{self._prefix}{number}-{attempt}" for attempt in range(1000))
        return next(name for name in candidates if shard_of(name, SHARDS) == shard)

    def put(self, name: str, face: int | NDArray[np.float32], expires_ns: int | None = None) -> None:
        """Add or replace an entry, of an axis or with a template."""
        self._names.add(name)
        vector, reference = (template(face), f"case/{face}") if isinstance(face, int) else (face, "")
        self._writer.write([encode(WatchlistEntry(name, vector, reference, "default", expires_ns), D)])

    def fill(self, number: int) -> None:
        """Add so many people whom nobody looks for."""
        vectors = np.random.default_rng(5).normal(size=(number, D)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1)[:, None]
        names = [f"{self._prefix}filler-{each}" for each in range(number)]
        self._names.update(names)
        self._writer.write([encode(WatchlistEntry(*each), D) for each in zip(names, vectors, strict=True)])

    def write(self, record: OutgoingRecord) -> None:
        """Write any record."""
        self._writer.write([record])

    def remove(self, name: str) -> None:
        """Take an entry off."""
        self._writer.write([encode_removal(name)])

    def close(self) -> None:
        """Leave nobody on the list."""
        self._writer.write([encode_removal(name) for name in sorted(self._names)])
        self._writer.close()


class Shards:
    """The actors of one run."""

    def __init__(self, ray: Any, run: str) -> None:
        self._ray = ray
        self.run = run
        self.actors: dict[int, Any] = {}

    def start(
        self,
        number: int,
        factory: Callable[[Replica], ShardParts],
        lease_seconds: float = 60.0,
        kind: type[WatchlistShard] = WatchlistShard,
        **options: Any,
    ) -> None:
        """Start one as a supervisor does."""
        actor, replica = self._ray.remote(kind), Replica(number, 0, 1)
        self.actors[number] = actor.options(
            name=replica.name, namespace=self.run, max_restarts=0, max_concurrency=8, num_cpus=0, **options
        ).remote(replica, factory, lease_seconds)

    def status(self, number: int) -> ShardStatus:
        """What one says of itself."""
        status: ShardStatus = self.told(number, "status")
        return status

    def told(self, number: int, method: str) -> Any:
        """What a method of one returns."""
        return self._ray.get(getattr(self.actors[number], method).remote(), timeout=60)

    def best_from_elsewhere(self, templates: NDArray[np.float64]) -> set[str]:
        """The best of shard 0, the only one, for each of the templates that a process of its own searches for.

        What pads a message of Ray is memory that its sender has freed: up to 63 bytes behind an array. So who sends
        the probes must never have held what the shard's memory is searched for; in float64 they are other bytes.
        """
        sought = gallery(self, shards=1)

        def search() -> set[str]:
            probes = (templates / np.linalg.norm(templates, axis=1)[:, None]).astype(np.float32)
            found = sought.search(Probes(probes, np.full(len(probes), NOW_NS)), 3)
            return {candidates[0].entry for candidates in found.candidates}

        best: set[str] = self._ray.get(self._ray.remote(search).options(num_cpus=0).remote(), timeout=60)
        return best

    def stop(self, number: int) -> ShardStatus:
        """End one in peace; its last status."""
        told = self._ray.get(self.actors[number].stop.remote(5.0), timeout=30)
        return msgspec.msgpack.decode(told.content, type=ShardStatus)

    def kill(self, number: int) -> None:
        """End one at once."""
        self._ray.kill(self.actors.pop(number))


def gallery(
    of: Shards | str, policy: Any = "wait", deadline_seconds: float = 10.0, *, shards: int = SHARDS
) -> RayGallery:
    """The gallery of a worker of that run."""
    return RayGallery(
        namespace=of if isinstance(of, str) else of.run,
        shards=shards,
        replicas=1,
        deadline_seconds=deadline_seconds,
        on_shard_loss=policy,
        telemetry=FakeTelemetry(),
    )


def match(sought: RayGallery, axis: int, capture_ns: int = NOW_NS) -> tuple[str, str] | None:
    """Id and reference of who looks exactly like the template of that axis."""
    (candidates,) = sought.search(probe(axis, capture_ns), 3).candidates
    return (candidates[0].entry, candidates[0].reference) if candidates and candidates[0].score > 0.99 else None
