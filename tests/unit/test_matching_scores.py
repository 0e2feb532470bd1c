"""Scores are float64 inner products rounded once, the same for a pair wherever it is computed."""

import numpy as np
import pytest

from pipeline.matching.block import compile_search
from pipeline.matching.scores import inner_products


@pytest.mark.parametrize("dimension", [1, 2, 3, 7, 128, 131])
def test_a_score_is_the_exact_product_rounded(dimension: int) -> None:
    """Also for numbers of terms that do not halve evenly."""
    random = np.random.default_rng(dimension)
    probes, rows = random.standard_normal((2, 5, dimension)).astype(np.float32)
    numbers = np.array([[0, 4], [1, 1], [2, 0], [3, 3], [4, 2]])
    exact = np.einsum("pd,pmd->pm", probes.astype(np.longdouble), rows[numbers].astype(np.longdouble))
    np.testing.assert_allclose(inner_products(probes, rows, numbers), exact, rtol=2.0**-23, atol=1e-12)


def test_a_score_does_not_depend_on_its_neighbours() -> None:
    """To every bit, alone or among others."""
    random = np.random.default_rng(3)
    probes, rows = random.standard_normal((2, 9, 96)).astype(np.float32)
    together = inner_products(probes, rows, np.tile(np.arange(9), (9, 1)))
    for probe in range(9):
        for row in range(9):
            alone = inner_products(probes[probe : probe + 1].copy(), rows[row:].copy(), np.zeros((1, 1), np.int64))
            assert alone.item() == together[probe, row]


def test_no_row_has_no_score() -> None:
    """A negative number names none."""
    ones = np.ones((1, 4), np.float32)
    assert inner_products(ones, ones, np.array([[-1, 0]])).tolist() == [[-np.inf, 4.0]]


def test_a_shard_compiles_before_its_first_search() -> None:
    """It can be asked for at any time, also again."""
    compile_search()
    assert inner_products.signatures
