"""One answer from the answers of several shards, which hold disjoint shares of the watchlist."""

from collections.abc import Iterable, Mapping, Sequence

from pipeline.records import Candidate, SearchResult, ShardReply


def rank(candidate: Candidate) -> tuple[float, str]:
    """Sort key of candidates: by falling score, equal scores by entry id."""
    return -candidate.score, candidate.entry


def lagging(replies: Sequence[ShardReply], greatest: int) -> tuple[int, ...]:
    """Shards whose snapshot is older than the greatest version seen: they are asked for it once more."""
    return tuple(reply.shard for reply in replies if reply.version < greatest)


def newest(first: Mapping[int, ShardReply], second: Mapping[int, ShardReply]) -> dict[int, ShardReply]:
    """Of each shard the reply of the greater version; the second of two equals.

    Two replicas of a shard may be at different versions, and the one that was asked second may be the older.
    """
    return {
        **first,
        **{
            shard: reply
            for shard, reply in second.items()
            if shard not in first or reply.version >= first[shard].version
        },
    }


def greatest_version(replies: Iterable[ShardReply]) -> int:
    """The newest watchlist version among the replies; 0 if there are none."""
    return max((reply.version for reply in replies), default=0)


def merge(replies: Sequence[ShardReply], probes: int, k: int, shards: int) -> SearchResult:
    """The `k` best candidates of each of `probes` probes over the replies of some of `shards` shards.

    The same entries as one search of all replying shards' entries would give. Raises ValueError if a shard replied
    twice, or a reply is not for `probes` probes.
    """
    if len({reply.shard for reply in replies}) != len(replies):
        raise ValueError("two replies of one shard")
    for reply in replies:
        if len(reply.candidates) != probes:
            raise ValueError(f"shard {reply.shard} answered {len(reply.candidates)} probes instead of {probes}")
    return SearchResult(
        candidates=tuple(
            tuple(sorted((candidate for reply in replies for candidate in reply.candidates[probe]), key=rank)[:k])
            for probe in range(probes)
        ),
        version_lowest=min((reply.version for reply in replies), default=0),
        version_greatest=greatest_version(replies),
        fraction_searched=len(replies) / shards,
    )
