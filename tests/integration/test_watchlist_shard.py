"""Watchlist shards as Ray actors behind a gallery: changes of the topic take effect at once, and a loss is said."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import pytest
from object_store import ObjectStore
from process_memory import ProcessMemory
from shard_run import NOW_NS, SHARDS, D, Shards, Watchlist, gallery, match, probe, template

from pipeline.actors.shard_reply import CALL_BYTES
from pipeline.actors.watchlist_shard import ShardParts, WatchlistShard
from pipeline.catalog.indexes import IndexKind
from pipeline.catalog.topics import TOPICS, WATCHLIST
from pipeline.core.replicas import Replica
from pipeline.errors import ModelError, ShardUnavailable
from pipeline.matching.engine import faiss
from pipeline.matching.kinds import KINDS
from pipeline.records import OutgoingRecord, Probes, WatchlistEntry
from pipeline.runtime.settings import Kafka, Matching, Settings
from pipeline.runtime.shard_factory import Heartbeat, ShardFactory, shard_options
from pipeline.streams.client import Connection
from pipeline.streams.topics import TopicAdmin
from pipeline.wire.watchlist import encode

pytestmark = pytest.mark.integration

TAKES_EFFECT_SECONDS = 1.0
START_SECONDS = 90.0
EQUALS = 16
"""Entries of one template: more than a search of three candidates fetches, so that it has to look at every row."""
REBUILD_SECONDS = 2.0
MEMORY_SECONDS = 20.0
"""A look through all memory of a process takes a second or two."""


@pytest.fixture(scope="module")
def settings(kafka: Connection) -> Settings:
    """Settings of a run on the tests' Kafka, whose watchlist topic is there."""
    TopicAdmin(kafka).create([topic for topic in TOPICS if topic.name == WATCHLIST], partitions=1)
    return Settings(kafka=Kafka(brokers=kafka.brokers), matching=Matching(shards=SHARDS))


@pytest.fixture
def watchlist(kafka: Connection, settings: Settings, prefix: str) -> Iterator[Watchlist]:
    """The topic, to write to."""
    listed = Watchlist(kafka, prefix)
    yield listed
    listed.close()


@pytest.fixture
def shards(ray_connection: Any, prefix: str) -> Iterator[Shards]:
    """A run of the test's own without any shard yet; those that it starts are ended after it."""
    started = Shards(ray_connection, f"{prefix}run")
    yield started
    for number in list(started.actors):
        started.kill(number)


@pytest.fixture(scope="module")
def serving(ray_connection: Any, settings: Settings) -> Iterator[Shards]:
    """All shards of a run, following the topic; a test that ends one starts its successor."""
    started = Shards(ray_connection, "serving")
    for number in range(SHARDS):
        started.start(number, ShardFactory(settings, started.run))
    gallery(started, deadline_seconds=START_SECONDS).search(probe(0), 1)
    yield started
    for number in list(started.actors):
        started.kill(number)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_changes_take_effect_within_a_second(
    serving: Shards, watchlist: Watchlist, eventually: Callable[..., None], shard: int
) -> None:
    """Add, replace, expire and remove, in either shard, without a restart of anything."""
    sought = gallery(serving)
    name = watchlist.name(1, shard)
    watchlist.put(name, 1)
    eventually(lambda: match(sought, 1) == (name, "case/1"), "addition", TAKES_EFFECT_SECONDS)
    watchlist.put(name, 2)
    eventually(lambda: match(sought, 2) == (name, "case/2"), "replacement", TAKES_EFFECT_SECONDS)
    assert match(sought, 1) is None
    expires_ns = time.time_ns()  # of this moment: an entry that expired long ago is destroyed
    watchlist.put(name, 2, expires_ns=expires_ns)
    eventually(lambda: match(sought, 2, expires_ns) is None, "expiry", TAKES_EFFECT_SECONDS)
    assert match(sought, 2, expires_ns - 1) == (name, "case/2")
    watchlist.remove(name)
    eventually(lambda: match(sought, 2, expires_ns - 1) is None, "removal", TAKES_EFFECT_SECONDS)


def test_expired_entry_is_destroyed_without_traffic(
    serving: Shards, watchlist: Watchlist, eventually: Callable[..., None]
) -> None:
    """180 s after its expiry an entry is gone from the shard though the topic is silent."""
    name, sought = watchlist.name(1, 0), gallery(serving)
    expires_ns = time.time_ns() - 177 * 10**9
    watchlist.put(name, 3, expires_ns=expires_ns)
    eventually(lambda: match(sought, 3, expires_ns - 1) == (name, "case/3"), "addition", TAKES_EFFECT_SECONDS)
    listed = serving.status(0)
    eventually(lambda: serving.status(0).entries == listed.entries - 1, "destruction")
    assert time.time_ns() >= expires_ns + 180 * 10**9
    assert match(sought, 3, expires_ns - 1) is None
    assert serving.status(0).version == listed.version


def test_garbage_is_counted_and_heartbeats_move_the_version(
    serving: Shards, watchlist: Watchlist, settings: Settings, eventually: Callable[..., None]
) -> None:
    """Neither stops a shard, and both shards reach the same version."""
    name, sought = watchlist.name(1, 1), gallery(serving)
    watchlist.put(name, 7)
    eventually(lambda: match(sought, 7) == (name, "case/7"), "addition", TAKES_EFFECT_SECONDS)
    before = serving.status(1)
    watchlist.write(OutgoingRecord(WATCHLIST, name.encode(), b"\xc1", (("schema-version", b"1"),), partition=0))
    Heartbeat(settings)()
    for shard in range(SHARDS):
        eventually(lambda shard=shard: serving.status(shard).version == before.version + 2, "version")
    after = serving.status(1)
    assert (after.malformed, after.entries) == (before.malformed + 1, before.entries - 1)
    assert serving.status(0).state == after.state == "running"


def test_missing_shard_is_said_and_its_successor_found(
    serving: Shards, settings: Settings, watchlist: Watchlist, eventually: Callable[..., None]
) -> None:
    """`degrade` answers from the rest with its fraction, `wait` names who is missing; a successor serves once it has
    read what was listed before it started."""
    kept, lost = watchlist.name(1, 0), watchlist.name(2, 1)
    watchlist.put(kept, 4)
    watchlist.put(lost, 5)
    waiting, degrading = gallery(serving, "wait", 0.5), gallery(serving, "degrade")
    for sought in (waiting, degrading):
        eventually(lambda sought=sought: match(sought, 5) == (lost, "case/5"), "addition", TAKES_EFFECT_SECONDS)
    serving.kill(1)
    with pytest.raises(ShardUnavailable, match=rf"^shard-1 of run {serving.run} did not answer within 0\.5 s$"):
        waiting.search(probe(4), 3)
    part = degrading.search(probe(4), 3)
    assert (part.candidates[0][0].entry, part.fraction_searched) == (kept, 0.5)
    assert match(degrading, 5) is None
    serving.start(1, ShardFactory(settings, serving.run))
    assert match(gallery(serving, "wait", START_SECONDS), 5) == (lost, "case/5")
    for sought in (waiting, degrading):
        assert match(sought, 5) == (lost, "case/5")
        assert sought.search(probe(5), 3).fraction_searched == 1.0


def test_no_shard_at_all_is_never_an_answer(ray_connection: Any) -> None:
    """Where nothing was searched, `degrade` has nothing to say either."""
    with pytest.raises(ShardUnavailable, match="shard-0, shard-1 of run nobody"):
        gallery("nobody", "degrade", 0.2).search(probe(4), 3)


def test_large_searches_stay_out_of_the_object_store(
    serving: Shards, watchlist: Watchlist, eventually: Callable[..., None], ray_connection: Any
) -> None:
    """More probes than a call may carry, and replies that need several, are put together again."""
    name = watchlist.name(1, 0)
    watchlist.write(encode(WatchlistEntry(name, template(6), "r" * 900), D))
    sought = gallery(serving)
    eventually(lambda: match(sought, 6) is not None, "addition", TAKES_EFFECT_SECONDS)
    probes = Probes(np.tile(template(6), (400, 1)), np.full(400, NOW_NS))
    assert probes.templates.nbytes > 2 * CALL_BYTES
    store = ObjectStore(ray_connection)
    before = store.created
    found = sought.search(probes, 3)
    watchlist.remove(name)
    assert [candidates[0].entry for candidates in found.candidates] == [name] * 400
    assert store.created == before
    ray_connection.put(probes.templates)
    assert store.created == before + 1


def test_unbuildable_shard_says_why(shards: Shards, eventually: Callable[..., None]) -> None:
    """A factory's error reaches the supervisor with its exit code, and a search is refused."""

    def broken(replica: Replica) -> ShardParts:
        raise ModelError("FAISS cannot be imported")

    shards.start(0, broken)
    eventually(lambda: shards.status(0).state == "failed", "failure", START_SECONDS)
    status = shards.status(0)
    assert (status.failure, status.failure_exit_code, status.recoverable) == ("FAISS cannot be imported", 7, False)
    with pytest.raises(ShardUnavailable):
        gallery(shards, "wait", 0.2, shards=1).search(probe(0), 1)


def test_shard_ends_when_its_lease_is_not_renewed(
    shards: Shards, settings: Settings, eventually: Callable[..., None]
) -> None:
    """Without a supervisor no process is left, whatever it was about to do."""
    shards.start(0, ShardFactory(settings, shards.run), lease_seconds=2.0)
    orphan = shards.status(0).pid
    eventually(lambda: not psutil.pid_exists(orphan), "end of the orphan")


def test_stopped_shard_frees_its_port_and_refuses_searches(
    shards: Shards, settings: Settings, eventually: Callable[..., None]
) -> None:
    """After stop() nothing is served, neither metrics nor answers."""
    shards.start(0, ShardFactory(settings, shards.run))
    eventually(lambda: shards.status(0).state == "running", "running", START_SECONDS)
    port = shards.status(0).metrics_port
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    assert shards.stop(0).state == "stopped"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    with pytest.raises(ShardUnavailable):
        gallery(shards, "wait", 0.2, shards=1).search(probe(0), 1)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-pq-fastscan"])
def test_removed_template_is_in_no_memory_of_the_shard(
    shards: Shards, settings: Settings, watchlist: Watchlist, eventually: Callable[..., None], kind: IndexKind
) -> None:
    """Neither in its index, nor in what it computed with, nor in what any library freed, in one piece or scattered."""

    class OpenShard(WatchlistShard):
        """Says where its index lies."""

        def index_memory(self) -> list[range]:
            """The addresses of its blocks, and of a graph's copies or of centroids."""
            index: Any = self._parts.view._index  # type: ignore[union-attr]  # it is running
            cover = getattr(index, "_cover", None)
            places = [(block.templates.ctypes.data, block.templates.nbytes) for block in index._blocks]
            if cover is not None:
                built = cover._selector._index
                held = faiss().downcast_index(built.storage if kind == "hnsw" else built.quantizer).codes
                places.append((int(held.data()), held.size()))
            return [range(first, first + size) for first, size in places]

    matching = Matching(shards=1, index=kind, rebuild_seconds=REBUILD_SECONDS)
    alone = settings.model_copy(update={"matching": matching})
    copies = EQUALS + 1 if kind == "hnsw" else EQUALS  # a graph has one of those that are equal
    if kind != "flat":
        watchlist.fill(KINDS[kind].least_rows)  # type: ignore[union-attr]  # only flat has none
    draw = np.random.default_rng(11)
    exact = draw.normal(size=D)
    exact /= np.linalg.norm(exact)
    secret = exact.astype(np.float32)
    names = [watchlist.name(number, 0) for number in range(EQUALS)]
    for name in names:
        watchlist.put(name, secret)
    # before the start: what comes after the others have been built over is too little for another build
    shards.start(0, ShardFactory(alone, shards.run), kind=OpenShard, **shard_options())
    eventually(lambda: shards.status(0).state == "running", "running", START_SECONDS)
    memory = ProcessMemory(shards.status(0).pid)
    eventually(lambda: shards.status(0).entries >= EQUALS, "addition", TAKES_EFFECT_SECONDS)
    eventually(lambda: shards.status(0).settled, "build", START_SECONDS)
    near = exact + draw.normal(scale=0.01, size=(32, D))
    for probes in (near[:1], near):  # few probes and many are multiplied by different code; equals need a look at all
        assert shards.best_from_elsewhere(probes) == {min(names)}

    def indexed() -> list[int]:
        index = shards.told(0, "index_memory")
        return [address for address in memory.copies(secret) if any(address in block for block in index)]

    eventually(lambda: len(indexed()) == copies, "copies in the index", MEMORY_SECONDS)
    for name in names:
        watchlist.remove(name)
    eventually(lambda: not indexed() and shards.status(0).settled, "removal from the index", MEMORY_SECONDS)
    assert memory.copies(secret) == []
    assert memory.scattered(secret) == []
