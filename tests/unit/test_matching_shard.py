"""A shard answers from one snapshot while another thread changes its index, and waits a moment for a newer version."""

import threading
import time

import numpy as np

from pipeline.matching.index import InnerProductIndex
from pipeline.matching.scores import inner_products
from pipeline.matching.shard import FaissShard
from pipeline.records import Probes, ShardReply, WatchlistEntry

D = 4
PROBES = Probes(np.eye(D, dtype=np.float32)[:1], np.zeros(1, np.int64))


def entry(name: str, axis: int) -> WatchlistEntry:
    """An entry whose template lies along an axis."""
    return WatchlistEntry(name, np.eye(D, dtype=np.float32)[axis])


def test_search_waits_for_the_version_it_was_asked_for() -> None:
    """The change comes from another thread while the search waits."""
    index = InnerProductIndex(D)
    shard = FaissShard(3, index, catch_up_seconds=30.0)
    index.put(entry("a", 0))
    change = threading.Timer(0.05, index.publish, [8])
    change.start()
    reply = shard.search(PROBES, 1, at_least_version=8)
    change.join()
    assert (reply.shard, reply.version, reply.entries) == (3, 8, 1)
    assert [candidate.entry for candidate in reply.candidates[0]] == ["a"]


def test_search_answers_with_what_it_has_when_the_version_does_not_come() -> None:
    """A shard that lags says so by its version instead of staying away."""
    index = InnerProductIndex(D)
    index.publish(4)
    began = time.monotonic()
    reply = FaissShard(0, index, catch_up_seconds=0.05).search(PROBES, 1, at_least_version=5)
    assert reply.version == 4
    assert time.monotonic() - began >= 0.05


def test_nothing_is_compiled_during_a_search() -> None:
    """Arrays that came in a message cannot be written to, which is another type to numba."""
    index = InnerProductIndex(D)
    index.put(entry("a", 0))
    index.publish(1)
    shard = FaissShard(0, index)
    compiled = len(inner_products.signatures)
    probes = Probes(PROBES.templates.copy(), PROBES.capture_ns.copy())
    probes.templates.flags.writeable = probes.capture_ns.flags.writeable = False
    assert [best.entry for best in shard.search(probes, 1).candidates[0]] == ["a"]
    assert len(inner_products.signatures) == compiled


def test_searches_see_whole_versions_while_the_index_changes() -> None:
    """In every version exactly one of two entries lies along the probe; a search never sees both or neither."""
    index = InnerProductIndex(D, block_rows=8)
    shard = FaissShard(0, index)
    stop = threading.Event()

    def change() -> None:
        version = 0
        while not stop.wait(0.0005):
            version += 1
            index.put(entry("a", version % 2))
            index.put(entry("b", 1 - version % 2))
            index.publish(version)
            index.sweep(0)

    index.put(entry("a", 0))
    index.put(entry("b", 1))
    index.publish(0)
    writer = threading.Thread(target=change)
    writer.start()
    try:
        replies: dict[int, ShardReply] = {}
        deadline = time.monotonic() + 20.0
        while len(replies) < 50 and time.monotonic() < deadline:
            reply = shard.search(PROBES, 2)
            replies[reply.version] = reply
    finally:
        stop.set()
        writer.join()
    assert len(replies) == 50
    for reply in replies.values():
        (best, other) = reply.candidates[0]
        assert (best.score, other.score) == (1.0, 0.0)
        assert best.entry == "ab"[reply.version % 2]
