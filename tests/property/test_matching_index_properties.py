"""Whatever the watchlist's history, shards and merge find what a plain dict and a sort find."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray

from pipeline.core.merge import merge
from pipeline.core.sharding import shard_of
from pipeline.matching.approximate import ApproximateIndex
from pipeline.matching.index import GRACE_NS, InnerProductIndex
from pipeline.matching.kinds import build_hnsw, build_ivf_pq_fastscan
from pipeline.matching.selection import Kind, Selector, Templates
from pipeline.matching.shard import FaissShard
from pipeline.records import Candidate, Probes, WatchlistEntry
from pipeline.testing.oracle import BruteForceIndex

D = 16
TOLERANCE = 1e-6


def units(seed: int, count: int) -> NDArray[np.float32]:
    """Unit vectors; every fourth is one of a few, so that scores tie exactly."""
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((count, D)).astype(np.float32)
    vectors[::4] = vectors[np.arange(0, count, 4) % 8]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def agree(found: tuple[Candidate, ...], expected: list[Candidate], k: int) -> None:
    """The `k` best, in order; entries may only differ from the oracle's where scores are closer than 1e-6."""
    assert len(found) == min(k, len(expected))
    scores = {candidate.entry: candidate.score for candidate in expected}
    for place, candidate in enumerate(found):
        assert abs(candidate.score - scores[candidate.entry]) < TOLERANCE
        assert abs(candidate.score - expected[place].score) < TOLERANCE
    for before, after in pairwise(found):
        assert (-before.score, before.entry) < (-after.score, after.entry)
    # an exact tie is no near one: of equal entries the first by id are there
    worst = found[-1] if found else None
    for candidate in expected:
        if worst and candidate.score == scores[worst.entry] and candidate.entry < worst.entry:
            assert candidate.entry in {one.entry for one in found}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    entries=st.integers(0, 120),
    shards=st.integers(1, 5),
    k=st.integers(1, 12),
    expiring=st.integers(0, 3),
)
def test_shards_and_merge_equal_one_brute_force(seed: int, entries: int, shards: int, k: int, expiring: int) -> None:
    """For any number of shards, ties within and across them, and entries that expired for some of the probes."""
    watchlist = [
        WatchlistEntry(f"p{number}", template, f"case/{number}", expires_ns=50 if number % 4 < expiring else None)
        for number, template in enumerate(units(seed, entries))
    ]
    probes = Probes(units(seed + 1, 9), np.array([0, 49, 50] * 3))
    replies = []
    for shard in range(shards):
        index = InnerProductIndex(D, block_rows=16)
        for entry in watchlist:
            if shard_of(entry.entry, shards) == shard:
                index.put(entry)
        index.publish(1)
        replies.append(FaissShard(shard, index).search(probes, k))
    merged = merge(replies, len(probes.templates), k, shards)
    oracle = BruteForceIndex(watchlist, version=1)
    for template, captured, found in zip(probes.templates, probes.capture_ns, merged.candidates, strict=True):
        agree(found, oracle.ranking(template.astype(np.float64), int(captured)), k)


class Histories(RuleBasedStateMachine):
    """Adds, replaces, removes, expires and holds snapshots, against a dict."""

    POOL = units(7, 24)
    NAMES = st.sampled_from([f"p{number}" for number in range(40)])

    def __init__(self) -> None:
        super().__init__()
        self.index = self.empty()
        self.model = BruteForceIndex()
        self.now = 0
        self.version = 0

    @staticmethod
    def empty() -> InnerProductIndex:
        """The index that goes through it."""
        return InnerProductIndex(D, block_rows=8)

    @rule(changes=st.lists(st.tuples(NAMES, st.integers(0, 23), st.none() | st.integers(0, 40)), max_size=30))
    def put(self, changes: list[tuple[str, int, int | None]]) -> None:
        """Add or replace a few entries, some of which expire soon or have expired."""
        for name, template, life in changes:
            expires_ns = None if life is None else self.now + life
            entry = WatchlistEntry(name, self.POOL[template], expires_ns=expires_ns)
            self.index.put(entry)
            self.model.put(entry)
        self.publish()

    @rule(names=st.lists(NAMES, max_size=20))
    def remove(self, names: list[str]) -> None:
        """Take a few entries off, whether they are there or not."""
        for name in names:
            assert self.index.remove(name) == (name in self.model.entries)
            self.model.remove(name)
        self.publish()

    @rule(elapsed=st.sampled_from([1, 20, GRACE_NS]))
    def pass_time(self, elapsed: int) -> None:
        """Let entries expire, and destroy those whose time is over."""
        self.now += elapsed
        self.index.sweep(self.now)
        for entry in list(self.model.entries.values()):
            if entry.expires_ns is not None and entry.expires_ns + GRACE_NS <= self.now:
                self.model.remove(entry.entry)

    @rule(name=NAMES, template=st.integers(0, 23))
    def change_under_a_held_snapshot(self, name: str, template: int) -> None:
        """A held snapshot answers as before, though its rows were replaced and swept."""
        probes = Probes(self.POOL[:3], np.full(3, self.now))
        with self.index.snapshot() as held:
            before = self.index.search(held, probes, 5)
            self.put([(name, template, None)])
            self.index.sweep(self.now)
            self.put([(f"{name}-{number}", template, 30) for number in range(9)])
            assert self.index.search(held, probes, 5) == before

    def publish(self) -> None:
        """Make the changes visible."""
        self.version += 1
        self.index.publish(self.version)

    @invariant()
    def finds_what_the_dict_holds(self) -> None:
        """Same size, same version, same candidates."""
        probes = Probes(self.POOL[:6], np.full(6, self.now))
        reply = FaissShard(0, self.index).search(probes, 5)
        assert (reply.entries, reply.version) == (len(self.model.entries), self.version)
        for template, found in zip(probes.templates, reply.candidates, strict=True):
            agree(found, self.model.ranking(template.astype(np.float64), self.now), 5)

    @invariant()
    def holds_no_template_but_the_listed(self) -> None:
        """After a sweep no row holds anything but the templates of the entries that are there."""
        self.index.sweep(self.now)
        rows = sum(np.count_nonzero(block.templates.any(axis=1)) for block in self.index._blocks)
        assert rows == len(self.model.entries)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)


class ApproximateHistories(Histories):
    """The same with a selector, built at any moment; it proposes so many of these few rows that it misses none."""

    index: ApproximateIndex

    @staticmethod
    def empty() -> InnerProductIndex:
        """A selector over five rows and more, which is due a second after a removal."""
        return ApproximateIndex(D, Kind(build_hnsw, least_rows=5), rebuild_seconds=1.0, block_rows=8)

    @rule()
    def build(self) -> None:
        """Have it built over all rows that are there."""
        self.index.rebuild()

    @rule()
    def let_a_build_end(self) -> None:
        """Take over one that `sweep` began."""
        if self.index._build is not None:
            self.index._build.wait()
            self.index.sweep(self.now)

    @invariant()
    def covers_no_more_than_there_was(self) -> None:
        """After a build that nothing interrupted, the selector knows the entries that are there and no other."""
        if self.index.settled:
            assert self.index.covered <= len(self.model.entries)


TestApproximateHistories = ApproximateHistories.TestCase
TestApproximateHistories.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), build=st.sampled_from([build_hnsw, build_ivf_pq_fastscan]), k=st.integers(1, 12))
def test_scores_are_exact_whatever_was_missed(seed: int, build: Callable[[Templates, int], Selector], k: int) -> None:
    """Candidates of any kind are in order, have the scores of an exact search, and there are as many."""
    watchlist = [WatchlistEntry(f"p{number}", template) for number, template in enumerate(units(seed, 700))]
    index = ApproximateIndex(D, Kind(build, least_rows=500), block_rows=256)
    for entry in watchlist:
        index.put(entry)
    index.publish(1)
    index.rebuild()
    assert index.covered == len(watchlist)
    probes = Probes(units(seed + 1, 9), np.zeros(9, np.int64))
    oracle = BruteForceIndex(watchlist, version=1)
    for template, found in zip(probes.templates, FaissShard(0, index).search(probes, k).candidates, strict=True):
        scores = {each.entry: each.score for each in oracle.ranking(template.astype(np.float64), 0)}
        assert len(found) == k
        assert all(abs(candidate.score - scores[candidate.entry]) < TOLERANCE for candidate in found)
        assert all((-one.score, one.entry) < (-other.score, other.entry) for one, other in pairwise(found))
