"""A reply survives the way through Ray and stays below what Ray would put into its object store."""

import pytest

from pipeline.actors.shard_reply import CALL_BYTES, pack, unpack
from pipeline.records import Candidate, ShardReply


def reply(probes: int, candidates: int, reference: int) -> ShardReply:
    """A reply with references of so many characters."""
    found = tuple(Candidate(f"p{number}", 0.5, 7, "r" * reference) for number in range(candidates))
    return ShardReply(1, 7, 9, (found,) * probes)


def test_reply_survives() -> None:
    """Every field of a full batch comes back, in one piece."""
    whole = reply(128, 3, 20)
    assert unpack(pack(whole)) == whole


@pytest.mark.parametrize("reference", [400, 3_000])
def test_large_reply_is_cut_to_its_first_probes(reference: int) -> None:
    """What is left out can be asked again; at least one probe is always answered."""
    whole = reply(128, 3, reference)
    packed = pack(whole)
    part = unpack(packed)
    assert len(packed) <= CALL_BYTES
    assert 1 <= len(part.candidates) < 128
    assert part.candidates == whole.candidates[: len(part.candidates)]
