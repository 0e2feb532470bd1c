"""Equal templates in a graph: one stands for all, and nobody is hidden by them."""

import numpy as np
import pytest
from filled_index import D, filled, found, probes, units

from pipeline.matching.approximate import ApproximateIndex
from pipeline.matching.block import Block
from pipeline.matching.equals import Distinct, Groups, digests
from pipeline.matching.kinds import build_hnsw
from pipeline.matching.selection import CHUNK_ROWS, Kind, Part, Templates
from pipeline.records import WatchlistEntry


def test_digests_are_those_of_the_bits() -> None:
    """Equal for equal rows alone; one bit makes another."""
    rows = units(1, 1_000)
    rows[1] = rows[0]
    rows[2] = rows[0]
    rows[2, D - 1] = np.nextafter(rows[0, D - 1], np.float32(1.0))
    found = digests(rows.view(np.uint32))
    assert found[0] == found[1]
    assert len(np.unique(found)) == 999


def test_one_of_equal_templates_is_handed_out() -> None:
    """The first, within a chunk and across chunks, in memory that is overwritten."""
    rows = units(1, CHUNK_ROWS + 5)
    rows[3] = rows[9] = rows[1]
    rows[CHUNK_ROWS + 1] = rows[1]
    rows[CHUNK_ROWS + 4] = rows[CHUNK_ROWS + 2]
    block = Block(len(rows), D)
    for number, row in enumerate(rows):
        block.write(WatchlistEntry(f"p{number}", row), moment=1)
    distinct = Distinct(Templates([Part(block, block.alive())], D))
    handed, kept = [], []
    for chunk in distinct.chunks():
        handed.append(chunk)
        kept.append(chunk.copy())
    assert not any(chunk.any() for chunk in handed)
    once = np.delete(rows, [3, 9, CHUNK_ROWS + 1, CHUNK_ROWS + 4], axis=0)
    assert np.array_equal(np.concatenate(kept), once)
    members = distinct.groups().members(np.array([[1, 2, len(once) - 1, -1]]), 6)
    assert members.tolist() == [[1, 3, 9, CHUNK_ROWS + 1, 2, CHUNK_ROWS + 3]]


def test_members_are_as_many_as_are_wanted() -> None:
    """Cut off within a group, or filled up with none."""
    groups = Groups(np.array([7, 7, 5, 7, 5, 1], np.uint64))
    proposed = np.array([[1, 0, 2], [2, -1, -1], [-1, -1, -1]])
    assert groups.members(proposed, 3).tolist() == [[2, 4, 0], [5, -1, -1], [-1, -1, -1]]
    assert groups.members(proposed, 7)[0].tolist() == [2, 4, 0, 1, 3, 5, -1]
    assert Groups(np.array([9, 8, 3], np.uint64)).members(proposed, 3).tolist() == proposed.tolist()


@pytest.mark.parametrize("order", ["first", "last", "mixed"])
def test_equal_templates_hide_nobody(order: str) -> None:
    """Who looks like himself is found, however many there are who look like each other."""
    equal, others = np.repeat(units(1, 1), 200, axis=0), units(51, 100)
    templates = np.concatenate([others, equal] if order == "last" else [equal, others])
    index = ApproximateIndex(D, Kind(build_hnsw, least_rows=50))
    filled(index, np.random.default_rng(1).permutation(templates) if order == "mixed" else templates)
    index.rebuild()
    assert index.covered == 300
    assert [each[0].score > 0.999 for each in found(index, probes(others))] == [True] * len(others)
