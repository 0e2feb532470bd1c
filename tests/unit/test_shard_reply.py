"""A reply survives the way through Ray and stays below what Ray would put into its object store."""

import pytest

from pipeline.actors.shard_reply import CALL_BYTES, pack, unpack
from pipeline.errors import ClusterError
from pipeline.records import Candidate, ShardReply
from pipeline.runtime.settings import Matching
from pipeline.wire.schema import ID_LENGTH
from pipeline.wire.watchlist import REFERENCE_LENGTH


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


def test_the_most_candidates_that_can_be_set_fit_with_the_longest_references() -> None:
    """Whatever is on the watchlist, an answer to one probe stays out of Ray's object store."""
    (most,) = [bound.le for bound in Matching.model_fields["top_k"].metadata if hasattr(bound, "le")]
    widest = "\N{GRINNING FACE}"
    found = Candidate(widest * ID_LENGTH, -0.123456789, 2**62, widest * REFERENCE_LENGTH)
    packed = pack(ShardReply(999, 2**62, 10**9, ((found,) * most,)))
    assert len(packed) <= CALL_BYTES
    assert len(unpack(packed).candidates[0]) == most


def test_an_answer_that_no_call_carries_is_an_error() -> None:
    """It says what to lower, and nothing is cut off in silence."""
    with pytest.raises(ClusterError, match=r"shard-1: the answer to one probe has 10\d{4} bytes.*matching.top_k"):
        pack(reply(1, 100, 1000))
