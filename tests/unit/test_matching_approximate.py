"""What every kind of index but `flat` adds: selectors that are built, searched beside, taken over and wiped."""

import threading
import time

import numpy as np
import pytest
from filled_index import BUILDS, SECOND, D, filled, found, probes, units

from pipeline.matching.approximate import QUIET_NS, ApproximateIndex
from pipeline.matching.block import MARGIN
from pipeline.matching.engine import faiss
from pipeline.matching.index import InnerProductIndex
from pipeline.matching.kinds import build_hnsw, build_ivf_pq_fastscan
from pipeline.matching.selection import CHUNK_ROWS, Kind, Part, Templates
from pipeline.matching.shard import FaissShard
from pipeline.records import Candidate, WatchlistEntry
from pipeline.runtime.settings import Kafka, Matching, Settings
from pipeline.runtime.shard_factory import index_of


@pytest.fixture(params=BUILDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind that a CPU can search, over few templates already."""
    return Kind(BUILDS[request.param], least_rows=400)


@pytest.fixture
def index(kind: Kind) -> ApproximateIndex:
    """An empty index of the kind."""
    return ApproximateIndex(D, kind, rebuild_seconds=30.0, block_rows=256)


def test_best_entries_are_those_of_an_exact_search(index: ApproximateIndex) -> None:
    """Nearly always, and then with the very same scores."""
    exact = InnerProductIndex(D)
    templates = units(1, 3_000)
    filled(exact, templates)
    filled(index, templates)
    index.rebuild()
    assert (index.covered, index.settled) == (3_000, True)
    near = templates[:500] + 0.1 * units(2, 500)
    asked = probes(near / np.linalg.norm(near, axis=1, keepdims=True))
    expected, got = found(exact, asked), found(index, asked)
    same = [one[0] == other[0] for one, other in zip(got, expected, strict=True)]
    assert np.mean(same) > 0.98
    scores = {candidate.entry: candidate.score for every in found(exact, asked, 3_000)[:1] for candidate in every}
    assert all(candidate.score == scores[candidate.entry] for candidate in got[0])


def test_few_entries_are_searched_exactly(index: ApproximateIndex) -> None:
    """A selector over them would gain nothing, and there may be too few to train one on."""
    filled(index, units(1, 399))
    index.sweep(0)
    index.sweep(3600 * SECOND)
    assert (index.covered, index.settled) == (0, True)
    index.rebuild()
    assert index.covered == 0
    assert [each[0].entry for each in found(index, probes(units(1, 399)))] == [f"p{number}" for number in range(399)]


def test_a_build_begins_when_the_watchlist_has_been_loaded(index: ApproximateIndex) -> None:
    """Not while it is, unless that takes too long."""
    filled(index, units(1, 500))
    index.sweep(0)
    filled(index, units(2, 500), 500)
    index.sweep(QUIET_NS)
    assert index._build is None
    index.sweep(2 * QUIET_NS)
    assert index._build is not None
    index._build.wait()
    index.sweep(2 * QUIET_NS)
    assert (index.covered, index.settled) == (1_000, True)


def test_a_watchlist_that_never_rests_is_built_over_all_the_same(index: ApproximateIndex) -> None:
    """At the latest when a removal would wait no longer either."""
    for second in range(50):  # after 20 there are enough to build over
        assert index._build is None
        filled(index, units(second, 20), 20 * second)
        index.sweep(second * SECOND)
    assert index._build is not None


def test_what_is_added_later_is_found_beside_the_selector(index: ApproximateIndex) -> None:
    """Exactly, at once, and merged with what the selector finds."""
    templates = units(1, 1_000)
    filled(index, templates)
    index.rebuild()
    filled(index, templates[:5], prefix="again")
    assert index.covered == 1_000
    for number, each in enumerate(found(index, probes(templates[:5]))):
        assert [candidate.entry for candidate in each[:2]] == [f"again{number}", f"p{number}"]
        assert each[0].score == each[1].score


@pytest.mark.parametrize("removed", [MARGIN, 10 * MARGIN, 300])
def test_removed_entries_hide_nobody(removed: int) -> None:
    """However many of them lie around a probe: the next best is found as an exact search finds it."""
    index = ApproximateIndex(D, Kind(build_hnsw, least_rows=400), block_rows=256)
    center = units(1, 1)
    crowd = center + 0.02 * units(2, 300)
    others = units(3, 700)
    filled(index, np.concatenate([crowd, others]) / np.linalg.norm(np.concatenate([crowd, others]), axis=1)[:, None])
    index.rebuild()
    order = [candidate.entry for candidate in found(index, probes(center), 300)[0]]
    for name in order[:removed]:
        assert index.remove(name)
    index.publish(9)
    exact = InnerProductIndex(D)
    for block in index._blocks:
        for row in block.alive().tolist():
            exact.put(block.entry_at(row))
    exact.publish(9)
    assert found(index, probes(center)) == found(exact, probes(center))
    assert not index.settled


def test_expired_entries_hide_nobody(index: ApproximateIndex) -> None:
    """Neither of a probe captured after their expiry, while one captured before still finds them."""
    template = units(1, 1)[0]
    for number in range(50):
        index.put(WatchlistEntry(f"old{number:02}", template, expires_ns=100))
    filled(index, np.concatenate([units(2, 600), template[None]]))
    index.rebuild()
    assert found(index, probes(template[None], 99), 1)[0][0].entry.startswith("old")
    assert found(index, probes(template[None], 100), 1)[0][0].entry == "p600"


def test_a_held_snapshot_is_searched_as_it_was(index: ApproximateIndex) -> None:
    """Also when its rows were removed and another selector has taken the place of its own."""
    templates = units(1, 800)
    filled(index, templates)
    index.rebuild()
    asked = probes(templates[:50])
    with index.snapshot() as held:
        before = index.search(held, asked, 3)
        for number in range(50):
            index.remove(f"p{number}")
        index.publish(2)
        index.rebuild()
        index.sweep(0)
        assert index.covered == 750
        assert index.search(held, asked, 3) == before
        assert not index.settled  # the selector that was replaced is still in use
    index.sweep(0)
    assert index.settled
    names = {candidate.entry for each in found(index, asked) for candidate in each}
    assert not names & {f"p{number}" for number in range(50)}


def test_a_removal_is_built_away_within_its_time(index: ApproximateIndex) -> None:
    """The version stays what it was: nothing of the watchlist changed."""
    filled(index, units(1, 600))
    index.rebuild()
    index.remove("p7")
    index.publish(2)
    index.sweep(SECOND)
    index.sweep(30 * SECOND)
    assert index._build is None
    index.sweep(31 * SECOND)
    assert index._build is not None
    index._build.wait()
    index.sweep(31 * SECOND)
    assert (index.covered, index.settled, index.latest.version, index.latest.entries) == (599, True, 2, 599)


def test_a_removal_during_a_build_makes_another(index: ApproximateIndex) -> None:
    """The one that was under way may have copied the template already."""
    filled(index, units(1, 600))
    index.sweep(0)
    index.sweep(QUIET_NS)
    index.remove("p7")
    index.publish(2)
    assert index._build is not None
    index._build.wait()
    index.sweep(2 * SECOND)
    assert not index.settled
    index.sweep(32 * SECOND)
    assert index._build is not None
    index._build.wait()
    index.sweep(32 * SECOND)
    assert (index.covered, index.settled) == (599, True)


def test_a_selector_goes_when_few_entries_are_left(index: ApproximateIndex) -> None:
    """And with it the copies of those that were removed."""
    filled(index, units(1, 400))
    index.rebuild()
    index.remove("p3")
    index.publish(2)
    index.sweep(0)
    index.sweep(30 * SECOND)
    index.sweep(30 * SECOND)
    assert (index.covered, index.settled) == (0, True)


def test_rows_of_removed_entries_do_not_pile_up(index: ApproximateIndex) -> None:
    """Blocks without entries go, and the entries of one that is nearly empty move on before the next build."""
    templates = units(1, 2_000)
    filled(index, templates)
    index.rebuild()
    for number in range(1_950):
        if number % 256:
            index.remove(f"p{number}")
    index.publish(2)
    for _ in range(10):
        index.sweep(0)
        index.rebuild()
    assert len(index._blocks) <= 2
    kept = [number for number in range(2_000) if number >= 1_950 or number % 256 == 0]
    assert [each[0].entry for each in found(index, probes(templates[kept]))] == [f"p{number}" for number in kept]


def test_rows_do_not_pile_up_without_a_selector_either(index: ApproximateIndex) -> None:
    """Where one entry stays among hundreds that come and go."""
    templates = units(1, 300)
    for number in range(20):
        filled(index, templates[:1], number, prefix="stays")
        filled(index, templates[1:], 1)
        index.sweep(0)
    index.sweep(0)
    assert len(index._blocks) <= 5
    assert found(index, probes(templates[:1]), 1)[0][0].entry == "stays0"


def test_hnsw_overwrites_its_copies() -> None:
    """Once no search uses a selector any more, no vector is left in it."""
    index = ApproximateIndex(D, Kind(build_hnsw, least_rows=100), block_rows=256)
    filled(index, units(1, 300))
    index.rebuild()
    assert index._cover is not None
    graph = index._cover._selector._index  # type: ignore[attr-defined]  # of Hnsw
    storage = faiss().downcast_index(graph.storage)
    vectors = faiss().rev_swig_ptr(storage.get_xb(), 300 * D)
    assert vectors.any()
    index.remove("p0")
    index.publish(2)
    index.rebuild()
    index.sweep(0)
    assert not vectors.any()


def test_searches_see_whole_versions_while_selectors_come_and_go(kind: Kind) -> None:
    """In every version exactly one of two entries looks like the probe, in whatever selector or row it lies."""
    index = ApproximateIndex(D, kind, rebuild_seconds=0.01, block_rows=256)
    templates, others = units(1, 2), units(2, 400)
    filled(index, others, prefix="other")
    stop, covers = threading.Event(), []

    def change() -> None:
        version = 1
        while not stop.wait(0.0005):
            version += 1
            index.put(WatchlistEntry("a", templates[version % 2]))
            index.put(WatchlistEntry("b", templates[1 - version % 2]))
            index.publish(version)
            index.sweep(time.time_ns())
            if index._cover is not None and index._cover not in covers:
                covers.append(index._cover)

    writer = threading.Thread(target=change)
    writer.start()
    replies: dict[int, tuple[Candidate, ...]] = {}
    try:
        deadline = time.monotonic() + 60.0
        while (len(covers) < 5 or len(replies) < 100) and time.monotonic() < deadline:
            reply = FaissShard(0, index).search(probes(templates[:1]), 1)
            if reply.version > 1:
                replies[reply.version] = reply.candidates[0]
    finally:
        stop.set()
        writer.join()
    assert len(covers) >= 5
    assert len(replies) >= 100
    for version, (best,) in replies.items():
        assert (best.entry, best.version) == ("ab"[version % 2], version)
        assert best.score > 0.999


def test_probe_that_is_no_number_finds_nobody(index: ApproximateIndex) -> None:
    """And the others of its batch find whom they would."""
    templates = units(1, 600)
    filled(index, templates)
    index.rebuild()
    asked = probes(templates[:4])
    asked.templates[2, 5] = np.nan
    assert [[candidate.entry for candidate in each[:1]] for each in found(index, asked)] == [["p0"], ["p1"], [], ["p3"]]


@pytest.mark.parametrize("dimension", [9, 10, 130])
def test_any_dimension_can_be_coded(dimension: int) -> None:
    """An embedder of one's own may make templates of whatever size."""
    vectors = np.random.default_rng(1).standard_normal((700, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = ApproximateIndex(dimension, Kind(build_ivf_pq_fastscan, least_rows=400))
    filled(index, vectors)
    index.rebuild()
    assert index.covered == 700
    assert np.mean([each[0].entry == f"p{at}" for at, each in enumerate(found(index, probes(vectors)))]) > 0.98


def test_templates_are_handed_out_in_chunks_that_are_overwritten() -> None:
    """In the order of the parts, whatever their sizes; a sample is some of them."""
    index = InnerProductIndex(D, block_rows=CHUNK_ROWS + 7)
    filled(index, units(1, CHUNK_ROWS + 10))
    parts = [Part(block, block.alive()) for block in index._blocks]
    templates = Templates(parts, D)
    sizes, handed = [], []
    for chunk in templates.chunks():
        sizes.append(len(chunk))
        handed.append(chunk)
        assert chunk.any()
    assert sizes == [CHUNK_ROWS, 7, 3]
    assert len(templates) == sum(sizes)
    assert not any(chunk.any() for chunk in handed)
    everything = np.concatenate([block.templates[rows] for block, rows in parts])
    assert np.array_equal(templates.sample(10**6, seed=1), everything)
    some = templates.sample(50, seed=1)
    assert len(some) == 50
    assert {row.tobytes() for row in some} <= {row.tobytes() for row in everything}


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-pq-fastscan"])
def test_the_setting_chooses_the_index(kind: str) -> None:
    """`flat` stays what it was."""
    made = index_of(Settings(kafka=Kafka(brokers="kafka:9092"), matching=Matching(index=kind)), D)
    assert isinstance(made, ApproximateIndex) == (kind != "flat")
