"""Merging shard replies: order, versions and the fraction that was searched."""

import pytest

from pipeline.core.merge import greatest_version, lagging, merge, newest
from pipeline.records import Candidate, ShardReply


def reply(shard: int, version: int, *probes: list[tuple[str, float]]) -> ShardReply:
    """A shard's reply with one list of (entry, score) per probe."""
    candidates = tuple(tuple(Candidate(entry, score, version) for entry, score in found) for found in probes)
    return ShardReply(shard, version, 100, candidates)


def test_best_candidates_first_and_equal_scores_by_entry() -> None:
    """The order does not depend on which shard holds an entry."""
    merged = merge([reply(0, 5, [("b", 0.9), ("d", 0.5)]), reply(1, 7, [("a", 0.9), ("c", 0.7)])], 1, 3, 2)
    assert [(c.entry, c.score, c.version) for c in merged.candidates[0]] == [
        ("a", 0.9, 7),
        ("b", 0.9, 5),
        ("c", 0.7, 7),
    ]


def test_versions_and_fraction_are_those_of_the_replies() -> None:
    """A missing shard and differing snapshots are said."""
    merged = merge([reply(0, 5, []), reply(2, 7, [])], 1, 3, 4)
    assert (merged.version_lowest, merged.version_greatest, merged.fraction_searched) == (5, 7, 0.5)


def test_only_older_snapshots_are_asked_again() -> None:
    """Shards at the greatest version seen are left alone."""
    replies = [reply(0, 5), reply(1, 7), reply(2, 6)]
    assert greatest_version(replies) == 7
    assert lagging(replies, 7) == (0, 2)
    assert lagging([], 7) == lagging(replies[:1], 5) == ()


def test_the_newer_of_two_replies_counts() -> None:
    """Whoever was asked once more may have been another replica, and an older one."""
    first, second = {0: reply(0, 5), 1: reply(1, 7)}, {0: reply(0, 6), 1: reply(1, 6), 2: reply(2, 3)}
    assert {shard: found.version for shard, found in newest(first, second).items()} == {0: 6, 1: 7, 2: 3}
    assert newest(first, {1: reply(1, 7, [])})[1].candidates == ((),)


def test_no_reply_at_all_searched_nothing() -> None:
    """Without any shard each probe still has its (empty) list."""
    merged = merge([], 2, 3, 4)
    assert merged.candidates == ((), ())
    assert merged.fraction_searched == 0


def test_replies_that_do_not_fit_are_refused() -> None:
    """A reply to other probes, or two of one shard, would mix up faces or count entries twice."""
    with pytest.raises(ValueError, match="answered 1 probes instead of 2"):
        merge([reply(0, 5, [])], 2, 3, 1)
    with pytest.raises(ValueError, match="two replies"):
        merge([reply(0, 5, []), reply(0, 5, [])], 1, 3, 1)
