"""Searching shards and merging gives what searching everything at once gives."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.merge import merge, rank
from pipeline.core.sharding import shard_of
from pipeline.records import Candidate, ShardReply

scores = st.sampled_from([-0.5, 0.0, 0.25, 0.5, 0.75])
galleries = st.dictionaries(st.text(min_size=1, max_size=3), st.lists(scores, min_size=2, max_size=2), max_size=30)


@given(galleries, st.integers(1, 5), st.integers(1, 6))
def test_merged_shards_equal_one_search(gallery: dict[str, list[float]], shards: int, k: int) -> None:
    """For any placement of entries and any ties, the `k` best of all are among the `k` best of each shard."""
    everything = [[Candidate(entry, found[probe], 1) for entry, found in gallery.items()] for probe in range(2)]
    replies = [
        ShardReply(
            shard,
            1,
            len(gallery),
            tuple(
                tuple(sorted((c for c in probe if shard_of(c.entry, shards) == shard), key=rank)[:k])
                for probe in everything
            ),
        )
        for shard in range(shards)
    ]
    expected = tuple(tuple(sorted(probe, key=lambda c: (-c.score, c.entry))[:k]) for probe in everything)
    merged = merge(replies, 2, k, shards)
    assert merged.candidates == expected
    assert merged.fraction_searched == 1
