"""Exact search without a matrix of scores: tiles of inner products, of which only those above a floor are looked at.

A probe's floor is the least of the k products that it holds, so after a first few thousand rows nearly every tile ends
in its registers.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled import compiled
from pipeline.matching.microkernel import LANES, ROWS, lowest_bit, multiply_tile

BLOCK_BYTES: Final = 131_072
"""Rows that all panels of a batch are multiplied with in turn; they stay in the second-level cache meanwhile."""
THREAD_ROWS: Final = 16_384
"""Rows of one thread, at least: below, to start it takes a noticeable part of what it saves."""


@compiled(nogil=True)
def _insert(products: NDArray[np.float32], numbers: NDArray[np.int64], product: np.float32, number: int) -> None:
    """Put a row into its place among the k best, behind its equals; the last one falls out."""
    place = len(products) - 1
    while place > 0 and products[place - 1] < product:
        products[place] = products[place - 1]
        numbers[place] = numbers[place - 1]
        place -= 1
    products[place] = product
    numbers[place] = number


@compiled(nogil=True)
def _search(
    rows: NDArray[np.float32],
    panels: NDArray[np.float32],
    floors: NDArray[np.float32],
    products: NDArray[np.float32],
    numbers: NDArray[np.int64],
) -> None:
    """Fill `products` float32[N,k] and `numbers` int64[N,k]; `floors` float32[P×16] are raised."""
    block = max(1, BLOCK_BYTES // (ROWS * rows.itemsize * rows.shape[1])) * ROWS
    tile = np.empty((ROWS, LANES), np.float32)
    last = len(rows) - ROWS
    for begin in range(0, len(rows), block):
        for panel in range(len(panels)):
            for wanted in range(begin, min(begin + block, len(rows)), ROWS):
                first = min(wanted, last)  # the last tile reaches back over rows that had their turn
                lanes = multiply_tile(rows, first, panels, panel, floors, tile)
                while lanes:
                    lane = lowest_bit(lanes)
                    lanes &= lanes - 1
                    probe = panel * LANES + lane
                    for number in range(wanted - first, ROWS):
                        if tile[number, lane] > floors[probe]:
                            _insert(products[probe], numbers[probe], tile[number, lane], first + number)
                            floors[probe] = products[probe, -1]


@compiled(nogil=True)
def _multiply(
    rows: NDArray[np.float32], panels: NDArray[np.float32], floors: NDArray[np.float32], products: NDArray[np.float32]
) -> None:
    """Fill `products` float32[N,M] of one panel's probes; `floors` are -inf."""
    tile = np.empty((ROWS, LANES), np.float32)
    for wanted in range(0, len(rows), ROWS):
        first = min(wanted, len(rows) - ROWS)
        multiply_tile(rows, first, panels, 0, floors, tile)
        for number in range(ROWS):
            for probe in range(len(products)):
                products[probe, first + number] = tile[number, probe]


def all_products(probes: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inner products float32[N,M] of at most `LANES` finite probes and at least `ROWS` finite rows.

    Like `best_rows` it reads the rows where they lie. A matrix product of BLAS copies them into memory of its own,
    where templates that have been removed would stay until the next one.
    """
    products = np.empty((len(probes), len(rows)), np.float32)
    _multiply(rows, _panels(probes), np.full(LANES, -np.inf, np.float32), products)
    return products


def best_rows(
    probes: NDArray[np.float32], rows: NDArray[np.float32], k: int, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The contract of `pipeline.matching.engine.nearest` for at least `ROWS` rows; equal products by row number.

    A product is added up in the order of its terms, whatever the batch and wherever the row lies. `threads` share the
    rows; each runs without the interpreter lock, and no thread of BLAS or OpenMP is involved.
    """
    panels = _panels(probes)
    floors = np.full(len(panels) * LANES, np.inf, np.float32)  # nothing is above those of no or no finite probe
    floors[: len(probes)][np.isfinite(probes).all(axis=1)] = -np.inf

    def search(begin: int, end: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        shape = (len(probes), min(k, end - begin))
        products, numbers = np.full(shape, -np.inf, np.float32), np.full(shape, -1)
        _search(rows[begin:end], panels, floors.copy(), products, numbers)
        numbers[numbers >= 0] += begin
        return products, numbers

    parts = max(1, min(threads, len(rows) // THREAD_ROWS))
    if parts == 1:
        return search(0, len(rows))
    bounds = [part * len(rows) // parts for part in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        found = list(pool.map(search, bounds[:-1], bounds[1:]))
    products = np.concatenate([each for each, _ in found], axis=1)
    numbers = np.concatenate([each for _, each in found], axis=1)
    best = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(products, best, axis=1), np.take_along_axis(numbers, best, axis=1)


def _panels(probes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probes float32[N,d] as float32[⌈N÷16⌉,d,16], filled up with zeros: the order in which the micro-kernel reads."""
    count = -(-len(probes) // LANES)
    padded = np.zeros((count * LANES, probes.shape[1]), np.float32)
    padded[: len(probes)] = probes
    return np.ascontiguousarray(padded.reshape(count, LANES, -1).transpose(0, 2, 1))
