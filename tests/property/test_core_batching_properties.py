"""Chunks cover every face once, in order, within the limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.batching import chunks


@given(st.integers(0, 1000), st.integers(1, 300))
def test_chunks_partition_the_count(count: int, limit: int) -> None:
    """Joined again they are the whole, and only the last is shorter than the limit."""
    faces = list(range(count))
    cut = [faces[chunk] for chunk in chunks(count, limit)]
    assert [face for chunk in cut for face in chunk] == faces
    assert all(len(chunk) == limit for chunk in cut[:-1])
    assert all(1 <= len(chunk) <= limit for chunk in cut)


def test_limit_must_be_positive() -> None:
    """No number of searches of no probes ends."""
    with pytest.raises(ValueError, match="limit of 0"):
        chunks(5, 0)
