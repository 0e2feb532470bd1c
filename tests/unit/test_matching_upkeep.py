"""An index with a selector through what days bring: equal entries, churn, builds that fail, clocks that step."""

import logging
import weakref

import numpy as np
import pytest
from filled_index import BUILDS, SECOND, D, filled, found, probes, units
from numpy.typing import NDArray

from pipeline.matching.approximate import QUIET_NS, ApproximateIndex
from pipeline.matching.cover import Cover
from pipeline.matching.index import InnerProductIndex
from pipeline.matching.kinds import build_hnsw
from pipeline.matching.selection import Kind, Part, Selector, Templates
from pipeline.records import Probes, WatchlistEntry


@pytest.fixture
def index() -> ApproximateIndex:
    """An empty index with a selector over 100 entries and more."""
    return ApproximateIndex(D, Kind(build_hnsw, least_rows=100), rebuild_seconds=30.0, block_rows=256)


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("equals", [30, 300])
def test_equal_templates_rank_by_entry_id(build: object, equals: int) -> None:
    """Also when they are more than are proposed, of which a selector takes those that it likes."""
    index = ApproximateIndex(D, Kind(build, least_rows=100), block_rows=256)  # type: ignore[arg-type]  # of BUILDS
    template = units(1, 1)
    filled(index, units(2, 600), prefix="other")
    for number in reversed(range(equals)):
        filled(index, template, number, prefix="equal-")
    index.rebuild()
    expected = sorted(f"equal-{number}" for number in range(equals))[:3]
    assert [each.entry for each in found(index, probes(template))[0]] == expected


class Ordered(Selector):
    """Proposes four times as many as it is asked for, the first rows first."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.asked: list[int] = []

    def propose(self, probes: NDArray[np.float32], count: int, threads: int) -> NDArray[np.int64]:
        """See `Selector`."""
        self.asked.append(count)
        return np.tile(np.arange(min(4 * count, self.rows)), (len(probes), 1))

    def wipe(self) -> None:
        """It has no copies."""


@pytest.mark.parametrize(("expired", "widened"), [(30, False), (60, True)])
def test_a_list_that_expires_together_is_no_reason_to_look_further(expired: int, widened: bool) -> None:
    """As long as most of what was proposed is there: of 76 rows for three candidates, 30 may be hidden."""
    index = InnerProductIndex(D, block_rows=512)
    templates = units(1, 400)
    for number, template in enumerate(templates):
        index.put(WatchlistEntry(f"p{number}", template, expires_ns=100 if number < expired else None))
    index.publish(1)
    (block,) = index._blocks
    selector = Ordered(400)
    cover = Cover(selector, [Part(block, block.alive())], [block.top])
    asked = Probes(templates[350:351], np.array([100]))
    _, short = cover.search(asked, 3, index.latest.moment, 1)
    assert short.size == 0
    assert (len(selector.asked) > 1) == widened


def test_rows_are_used_again_where_no_selector_knows_them() -> None:
    """A few entries that are replaced for ever take no more room; a build pins them, and they are found as before."""
    index = ApproximateIndex(D, Kind(build_hnsw, least_rows=100), block_rows=10_000)
    templates = units(1, 90)
    for _ in range(20):
        filled(index, templates)
        index.sweep(0)
    assert sum(block.top for block in index._blocks) <= 2 * len(templates)
    index.remove("p3")
    index.publish(1)
    index.sweep(0)  # a row is free when the build begins
    filled(index, units(2, 60), prefix="more")
    index.remove("more7")
    index.publish(2)
    index.sweep(0)
    index.rebuild()
    filled(index, templates)
    filled(index, templates[:30], prefix="again")
    exact = InnerProductIndex(D)
    for block in index._blocks:
        for row in block.alive().tolist():
            exact.put(block.entry_at(row))
    exact.publish(index.latest.version)
    assert index.covered == 148
    assert found(index, probes(templates)) == found(exact, probes(templates))


class Scarce:
    """Builds graphs while there is memory."""

    def __init__(self) -> None:
        self.lacks: Exception | None = MemoryError("no room for a graph")
        self.builds = 0

    def __call__(self, templates: Templates, threads: int) -> Selector:
        """See `Kind.build`."""
        self.builds += 1
        if self.lacks is not None:
            raise self.lacks
        return build_hnsw(templates, threads)


def test_a_build_without_room_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """After the time that a removal waits; until then the selector before it serves, and the index is not settled."""
    scarce = Scarce()
    scarce.lacks = None
    index = ApproximateIndex(D, Kind(scarce, least_rows=10), rebuild_seconds=30.0, block_rows=256)
    templates = units(1, 20)
    filled(index, templates)
    index.rebuild()
    index.remove("p3")
    index.publish(2)
    index.sweep(0)
    scarce.lacks = RuntimeError("CUDA out of memory")
    with caplog.at_level(logging.WARNING):
        for second in range(30, 130):
            index.sweep(second * SECOND)
            if index._build is not None:
                index._build.wait()
            assert not index.settled
    assert scarce.builds - 1 == 4  # at 30 s, and 30 s after each of those that failed
    assert "19 entries could not be built (RuntimeError: CUDA out of memory)" in caplog.text
    assert (index.covered, found(index, probes(templates))[4][0].entry) == (20, "p4")
    scarce.lacks = None
    for second in range(130, 160):
        index.sweep(second * SECOND)
        if index._build is not None:
            index._build.wait()
    assert (index.covered, index.settled) == (19, True)


def test_a_build_without_room_leaves_nothing_behind() -> None:
    """Once it has failed, so that the next one has the room; nothing waits for Python's collector."""
    built: list[weakref.ref[NDArray[np.float32]]] = []

    def build(templates: Templates, threads: int) -> Selector:
        half = np.ones((len(templates) // 2, templates.dimension * threads), np.float32)
        built.append(weakref.ref(half))
        raise MemoryError("no room for the other half")

    index = ApproximateIndex(D, Kind(build, least_rows=10))
    filled(index, units(1, 20))
    index.sweep(0)
    index.sweep(QUIET_NS)
    assert index._build is not None
    index._build.wait()
    assert built[0]() is None


def test_a_build_that_fails_otherwise_is_not_kept_quiet() -> None:
    """The thread that changes the index hears of it; what searches find is what it was."""
    scarce = Scarce()
    scarce.lacks = TypeError("no such parameter")
    index = ApproximateIndex(D, Kind(scarce, least_rows=10), block_rows=256)
    filled(index, units(1, 20))
    index.sweep(0)
    index.sweep(QUIET_NS)
    assert index._build is not None
    index._build.wait()
    with pytest.raises(TypeError, match="no such parameter"):
        index.sweep(QUIET_NS)
    with pytest.raises(TypeError, match="no such parameter"):
        index.rebuild()
    assert found(index, probes(units(1, 20)))[4][0].entry == "p4"


@pytest.mark.parametrize("kind", [InnerProductIndex, ApproximateIndex])
def test_an_index_is_not_settled_while_a_removed_row_is_there(kind: type[InnerProductIndex]) -> None:
    """Since a search holds it."""
    index = InnerProductIndex(D) if kind is InnerProductIndex else ApproximateIndex(D, Kind(build_hnsw, least_rows=100))
    filled(index, units(1, 5))
    with index.snapshot():
        index.remove("p1")
        index.publish(2)
        index.sweep(0)
        assert not index.settled
    index.sweep(0)
    assert index.settled


def test_a_build_begins_when_no_block_is_sparse(index: ApproximateIndex) -> None:
    """However many became so since the one before it; additions wait for one of them at a time."""
    filled(index, units(1, 1_536))
    index.rebuild()
    for number in range(1_536):
        if number % 3:
            index.remove(f"p{number}")
    index.publish(2)
    index.sweep(0)
    blocks, sweeps = len(index._blocks), 0
    while index._build is None:
        index.sweep(30 * SECOND)
        sweeps += 1
        assert len(index._blocks) >= blocks - sweeps
    assert [block for block in index._blocks if block.full and block.live < 128] == []
    index._build.wait()
    index.sweep(30 * SECOND)
    assert index.covered == 512


def test_a_clock_that_is_set_back_delays_no_build(index: ApproximateIndex) -> None:
    """By an hour: what was due within 30 s is so from then on."""
    hour = 3600 * SECOND
    filled(index, units(1, 300))
    index.rebuild()
    index.remove("p7")
    index.publish(2)
    index.sweep(hour)
    index.sweep(0)
    index.sweep(29 * SECOND)
    assert index._build is None
    index.sweep(30 * SECOND)
    assert index._build is not None


def test_a_clock_that_is_set_back_makes_no_watchlist_restless(index: ApproximateIndex) -> None:
    """Nor is what was loaded before built over an hour later."""
    filled(index, units(1, 300))
    index.sweep(3600 * SECOND)
    index.sweep(0)
    assert index._build is None
    index.sweep(QUIET_NS)
    assert index._build is not None
