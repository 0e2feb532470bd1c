"""Tiles find the rows that sorting all products finds, for every number of rows, probes, terms and neighbours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.matching import topk
from pipeline.matching.microkernel import LANES, ROWS
from pipeline.matching.topk import best_rows


def whole(seed: int, count: int, dimension: int) -> NDArray[np.float32]:
    """Vectors of small whole numbers, whose float32 products are exact and often equal."""
    return np.random.default_rng(seed).integers(-2, 3, (count, dimension)).astype(np.float32)


def sorted_rows(
    probes: NDArray[np.float32], rows: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All products, sorted; equal ones by row number."""
    products = probes @ rows.T
    best = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(products, best, axis=1), best


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    probes=st.integers(1, 3 * LANES),
    rows=st.integers(ROWS, 40 * ROWS),
    dimension=st.integers(1, 40),
    k=st.integers(1, 40 * ROWS),
)
def test_tiles_find_what_sorting_finds(seed: int, probes: int, rows: int, dimension: int, k: int) -> None:
    """Whether or not probes fill panels and rows fill tiles, up to all rows, and with equal products in row order."""
    k = min(k, rows)
    some, all_rows = whole(seed, probes, dimension), whole(seed + 1, rows, dimension)
    products, numbers = best_rows(some, all_rows, k, threads=1)
    expected, places = sorted_rows(some, all_rows, k)
    np.testing.assert_array_equal(products, expected)
    np.testing.assert_array_equal(numbers, places)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), lost=st.sets(st.integers(0, 39)), value=st.sampled_from([np.nan, np.inf, -np.inf])
)
def test_probes_that_are_not_finite_spoil_no_other(seed: int, lost: set[int], value: float) -> None:
    """They find nothing, and the others what they find without them."""
    probes, rows = whole(seed, 40, 16), whole(seed + 1, 100, 16)
    expected, places = sorted_rows(probes, rows, 5)
    probes[list(lost), seed % 16] = value
    products, numbers = best_rows(probes, rows, 5, threads=1)
    for probe in range(40):
        assert numbers[probe].tolist() == ([-1] * 5 if probe in lost else places[probe].tolist())
        assert products[probe].tolist() == ([-np.inf] * 5 if probe in lost else expected[probe].tolist())


@pytest.mark.parametrize("dimension", [16, 128, 6_000])
def test_rows_are_taken_in_blocks(dimension: int) -> None:
    """More rows than a block holds, which at 6,000 terms is a single tile, and a last tile that is not full."""
    block = max(1, topk.BLOCK_BYTES // (4 * ROWS * dimension)) * ROWS
    probes, rows = whole(1, LANES + 1, dimension), whole(2, 2 * block + ROWS + 1, dimension)
    products, numbers = best_rows(probes, rows, 7, threads=1)
    expected, places = sorted_rows(probes, rows, 7)
    np.testing.assert_array_equal(products, expected)
    np.testing.assert_array_equal(numbers, places)


@pytest.mark.parametrize("threads", [2, 3, 64])
def test_threads_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes a part of the rows, and equal products still come by row number."""
    monkeypatch.setattr(topk, "THREAD_ROWS", ROWS)
    probes, rows = whole(3, 20, 8), whole(4, 100, 8)
    for one, several in zip(best_rows(probes, rows, 30, 1), best_rows(probes, rows, 30, threads), strict=True):
        np.testing.assert_array_equal(one, several)


def test_a_product_does_not_depend_on_batch_and_place() -> None:
    """The same row gives the same float32 product to every bit, wherever it lies and whoever else is asked about."""
    random = np.random.default_rng(5)
    probes, rows = random.standard_normal((2, 50, 96)).astype(np.float32)
    products, numbers = best_rows(probes, rows, 50, threads=1)
    for shift in (1, 5, 17):
        others, places = best_rows(probes[shift : shift + 3].copy(), np.roll(rows, shift, axis=0), 50, threads=1)
        np.testing.assert_array_equal(others, products[shift : shift + 3])
        np.testing.assert_array_equal((places - shift) % 50, numbers[shift : shift + 3])
