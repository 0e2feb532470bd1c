"""The view makes the index what the last record of each key says, whatever the records are."""

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.core.sharding import shard_of
from pipeline.matching.index import InnerProductIndex
from pipeline.matching.shard import FaissShard
from pipeline.matching.view import WatchlistView
from pipeline.records import ConsumedRecord, OutgoingRecord, Probes, WatchlistEntry
from pipeline.wire.watchlist import encode, encode_heartbeat, encode_removal

D = 4
TEMPLATE = np.array([1, 0, 0, 0], np.float32)


def consumed(records: Sequence[OutgoingRecord], first: int = 0) -> list[ConsumedRecord]:
    """The records as a broker hands them out, from offset `first`: each with a value of its own."""
    return [
        ConsumedRecord(
            0, first + number, 0, record.key, record.value and bytes(bytearray(record.value)), record.headers
        )
        for number, record in enumerate(records)
    ]


def added(name: str) -> OutgoingRecord:
    """The record that adds an entry."""
    return encode(WatchlistEntry(name, TEMPLATE.copy(), f"case/{name}"), D)


class Watched:
    """A view, and a search of all that it holds."""

    def __init__(self, shard: int = 0, shards: int = 1) -> None:
        index = InnerProductIndex(D, block_rows=8)
        self.view = WatchlistView(index, shard=shard, shards=shards, dimension=D)
        self.shard = FaissShard(shard, index)

    @property
    def names(self) -> list[str]:
        """Ids of the entries that a search finds."""
        (candidates,) = self.shard.search(Probes(TEMPLATE[None], np.zeros(1, np.int64)), 100).candidates
        return [candidate.entry for candidate in candidates]


def test_last_record_of_a_key_counts() -> None:
    """Added, removed and added again, in one poll or several."""
    watched = Watched()
    watched.view.apply(consumed([added("a"), added("b"), encode_removal("a")]))
    assert watched.names == ["b"]
    watched.view.apply(consumed([added("a"), encode_removal("b"), encode_removal("nobody")], 3))
    assert watched.names == ["a"]
    assert (watched.view.version, watched.view.entries) == (5, 1)


def test_candidates_carry_reference_and_version() -> None:
    """An alert says whom it is about and by which watchlist."""
    watched = Watched()
    watched.view.apply(consumed([added("a")], 41))
    reply = watched.shard.search(Probes(TEMPLATE[None], np.zeros(1, np.int64)), 1)
    ((best,),) = reply.candidates
    assert (best.entry, best.reference, best.score, best.version) == ("a", "case/a", 1.0, 41)
    assert (reply.shard, reply.version, reply.entries) == (0, 41, 1)


def test_shards_hold_disjoint_shares_and_the_same_version() -> None:
    """Each entry is in the shard of its id, and records of other shards advance the version too."""
    names = [f"p{number}" for number in range(20)]
    shards = [Watched(shard, 3) for shard in range(3)]
    for watched in shards:
        watched.view.apply(consumed([added(name) for name in names]))
    assert [watched.names for watched in shards] == [
        sorted(name for name in names if shard_of(name, 3) == shard) for shard in range(3)
    ]
    assert {watched.view.version for watched in shards} == {19}


def test_heartbeats_advance_the_version_alone() -> None:
    """A heartbeat is no entry and takes nobody away."""
    watched = Watched()
    watched.view.apply(consumed([added("a"), encode_heartbeat()]))
    assert (watched.names, watched.view.version, watched.view.malformed) == (["a"], 1, 0)


def test_applied_values_are_overwritten() -> None:
    """Also those of other shards' entries and of garbage, since they held a template all the same."""
    records = consumed([added("a"), added("g"), encode_removal("a"), encode_heartbeat()])
    records.append(ConsumedRecord(0, 4, 0, b"a", bytes(bytearray(b"garbage")), ()))
    assert {shard_of(name, 2) for name in "ag"} == {0, 1}
    assert all(TEMPLATE.tobytes() in (record.value or b"") for record in records[:2])
    Watched(0, 2).view.apply(records)
    assert [set(record.value or b"") for record in records] == [{0}, {0}, set(), set(), {0}]


def test_nothing_new_changes_nothing() -> None:
    """An idle topic keeps the version."""
    watched = Watched()
    watched.view.apply(consumed([added("a")], 5))
    watched.view.apply([])
    assert watched.view.version == 5


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (None, b"x", ()),
        (b"\xff\xfe", b"x", ()),
        (b"a", b"", ()),
        (b"a", b"\xc1garbage", (("schema-version", b"1"),)),
        (b"a", b"x", (("schema-version", b"99"),)),
        (b"a\nb", None, ()),
    ],
)
def test_malformed_records_are_counted_and_passed(
    key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes | None], ...]
) -> None:
    """The view goes on with the next record and reaches the version of the last."""
    watched = Watched()
    watched.view.apply([ConsumedRecord(0, 0, 0, key, value, headers), *consumed([added("b")], 1)])
    assert (watched.names, watched.view.malformed, watched.view.version) == (["b"], 1, 1)


def test_malformed_record_takes_its_entry_away() -> None:
    """A shard that starts after compaction never sees the older record, and all shards must hold the same."""
    watched = Watched()
    watched.view.apply(consumed([added("a"), added("b")]))
    watched.view.apply([ConsumedRecord(0, 2, 0, b"a", b"garbage", ())])
    assert watched.names == ["b"]


def test_malformed_records_are_counted_by_one_shard() -> None:
    """A sum over shards counts each once, also where the key is no text."""
    shards = [Watched(shard, 3) for shard in range(3)]
    for watched in shards:
        watched.view.apply([ConsumedRecord(0, at, 0, key, b"x", ()) for at, key in enumerate((None, b"\xff", b"a"))])
    assert sum(watched.view.malformed for watched in shards) == 3
