"""The index: snapshots do not change, removal destroys, expiry is judged by capture time, and ties are exact."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.matching.index import DUE_SLACK, GRACE_NS, InnerProductIndex
from pipeline.records import Probes, WatchlistEntry

D = 8
BLOCK = 16


def basis(axis: int) -> NDArray[np.float32]:
    """A unit vector along one axis."""
    vector = np.zeros(D, np.float32)
    vector[axis] = 1.0
    return vector


def entry(name: str, axis: int = 0, expires_ns: int | None = None) -> WatchlistEntry:
    """An entry whose template lies along an axis."""
    return WatchlistEntry(name, basis(axis), f"case/{name}", expires_ns=expires_ns)


def found(index: InnerProductIndex, axis: int = 0, k: int = 3, capture_ns: int = 0) -> list[str]:
    """Ids of the `k` best entries of the latest snapshot for a probe along an axis."""
    with index.snapshot() as held:
        (best,) = index.search(held, Probes(basis(axis)[None], np.array([capture_ns])), k)
    return [candidate.entry for candidate in best]


def templates(index: InnerProductIndex) -> NDArray[np.float32]:
    """All memory of the index that may hold a template."""
    return np.concatenate([block.templates for block in index._blocks])


@pytest.fixture
def index() -> InnerProductIndex:
    """An empty index with blocks of a few rows."""
    return InnerProductIndex(D, block_rows=BLOCK)


def test_empty_index_finds_nobody(index: InnerProductIndex) -> None:
    """Before the first entry every probe gets an empty answer."""
    assert found(index) == []


def test_changes_are_seen_together_when_published(index: InnerProductIndex) -> None:
    """Nothing of a change is visible before its version is."""
    index.put(entry("a"))
    assert found(index) == []
    index.publish(7)
    assert found(index) == ["a"]
    assert (index.latest.version, index.latest.entries) == (7, 1)


def test_replaced_before_it_was_published_is_never_seen(index: InnerProductIndex) -> None:
    """Of two templates for one id in one poll only the later one counts."""
    index.put(entry("a", axis=0))
    index.put(entry("a", axis=1))
    index.publish(2)
    with index.snapshot() as held:
        (best,) = index.search(held, Probes(basis(0)[None], np.array([0])), 3)
    assert [(candidate.entry, candidate.score) for candidate in best] == [("a", 0.0)]


def test_search_uses_the_snapshot_it_began_with(index: InnerProductIndex) -> None:
    """Additions, replacements, removals and sweeps meanwhile change nothing of a held snapshot."""
    for name in ("a", "b"):
        index.put(entry(name))
    index.publish(1)
    with index.snapshot() as held:
        index.remove("a")
        index.put(entry("b", axis=3))
        index.put(entry("c"))
        index.publish(4)
        index.sweep(0)
        for name in "defg":
            index.put(entry(name))
        index.publish(8)
        (best,) = index.search(held, Probes(basis(0)[None], np.array([0])), 9)
        assert [(candidate.entry, candidate.score) for candidate in best] == [("a", 1.0), ("b", 1.0)]
        assert (held.version, held.entries) == (1, 2)
    assert found(index, k=9) == ["c", "d", "e", "f", "g", "b"]


def test_removed_row_is_overwritten_once_no_search_holds_it(index: InnerProductIndex) -> None:
    """The template is in memory while an older snapshot may need it, and nowhere after that."""
    index.put(entry("a"))
    index.publish(1)
    with index.snapshot():
        index.remove("a")
        index.publish(2)
        index.sweep(0)
        assert templates(index).any()
    index.sweep(0)
    assert not templates(index).any()


def test_unpublished_removal_keeps_the_row(index: InnerProductIndex) -> None:
    """A search that begins between removal and publication still sees the entry."""
    index.put(entry("a"))
    index.publish(1)
    index.remove("a")
    index.sweep(0)
    assert found(index) == ["a"]


def test_rows_are_used_again(index: InnerProductIndex) -> None:
    """A watchlist that changes for ever does not grow."""
    for version in range(10 * BLOCK):
        index.put(entry("a", axis=version % D))
        index.publish(version)
        index.sweep(0)
    assert len(templates(index)) == BLOCK
    assert np.count_nonzero(templates(index)) == 1


def test_entry_matches_only_probes_captured_before_its_expiry(index: InnerProductIndex) -> None:
    """The instant of expiry itself is after it."""
    index.put(entry("a", expires_ns=100))
    index.publish(1)
    assert found(index, capture_ns=99) == ["a"]
    assert found(index, capture_ns=100) == []


@pytest.mark.parametrize("expired", [BLOCK // 2, 5 * BLOCK])
def test_expired_entries_hide_nobody(index: InnerProductIndex, expired: int) -> None:
    """However many expired entries resemble a probe more, the best that may match is found."""
    for number in range(expired):
        index.put(entry(f"old-{number}", expires_ns=100))
    index.put(entry("other", axis=1))
    index.publish(1)
    assert found(index, k=1, capture_ns=100) == ["other"]


def test_entry_is_destroyed_180_s_after_its_expiry(index: InnerProductIndex) -> None:
    """Until then a frame captured before the expiry may still come; from then on the template is nowhere."""
    index.put(entry("a", expires_ns=100))
    index.publish(5)
    assert index.sweep(100 + GRACE_NS - 1) == 0
    assert found(index, capture_ns=99) == ["a"]
    assert index.sweep(100 + GRACE_NS) == 1
    assert found(index, capture_ns=99) == []
    assert not templates(index).any()
    assert (index.latest.version, index.latest.entries) == (5, 0)


def test_extended_entry_outlives_its_first_expiry(index: InnerProductIndex) -> None:
    """What was due with a replaced row does not touch its successor, also when both are due at once."""
    index.put(entry("a", expires_ns=100))
    index.put(entry("a", axis=1, expires_ns=100))
    index.put(entry("a", axis=2))
    index.publish(1)
    assert index.sweep(100 + GRACE_NS) == 0
    assert found(index, axis=2) == ["a"]


@pytest.mark.parametrize("expires_ns", [2**63, 2**64 - 1, -(2**63)])
def test_any_integer_is_an_expiry(index: InnerProductIndex, expires_ns: int) -> None:
    """An expiry that no 64-bit clock can show lies in the far future or past and stops nothing."""
    index.put(entry("a", expires_ns=expires_ns))
    index.publish(1)
    assert found(index) == (["a"] if expires_ns > 0 else [])


@pytest.mark.parametrize("equals", [4, BLOCK, 4 * BLOCK])
def test_equal_scores_come_by_entry_id(index: InnerProductIndex, equals: int) -> None:
    """Also when more entries are equal than are fetched, and when they lie in several blocks."""
    names = [f"p{number:03d}" for number in range(equals)]
    for name in reversed(names):
        index.put(entry(name))
    index.publish(1)
    assert found(index, k=3) == names[:3]


def test_probe_that_is_no_number_finds_nobody(index: InnerProductIndex) -> None:
    """It spoils nothing for the other probes of its batch."""
    for number in range(BLOCK):
        index.put(entry(f"p{number:02d}"))
    index.publish(1)
    probes = np.stack([np.full(D, np.nan, np.float32), basis(0)])
    with index.snapshot() as held:
        lost, kept = index.search(held, Probes(probes, np.zeros(2, np.int64)), 1)
    assert lost == []
    assert [candidate.entry for candidate in kept] == ["p00"]


def test_expiries_of_replaced_entries_do_not_pile_up(index: InnerProductIndex) -> None:
    """An entry that is written anew every day for years keeps one expiry, and it is the right one."""
    later = 10**18
    for number in range(3 * DUE_SLACK):
        index.put(entry("a", expires_ns=later + number))
        index.publish(number)
        index.sweep(0)
    assert len(index._due) <= DUE_SLACK + 2
    last = later + 3 * DUE_SLACK - 1
    assert index.sweep(last + GRACE_NS - 1) == 0
    assert index.sweep(last + GRACE_NS) == 1
    assert found(index) == []
