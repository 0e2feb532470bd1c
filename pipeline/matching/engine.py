"""FAISS itself, of which exactly one build has to be there, and the exact search for which it is one of two ways."""

from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError
from pipeline.matching.microkernel import ROWS
from pipeline.matching.topk import best_rows

DISTRIBUTIONS: Final = ("faiss-cpu", "faiss-gpu")
"""They carry the same module; with both installed, files of one lie over files of the other."""

TILES_FROM_PROBES: Final = 3
"""Batches of as many probes are multiplied in tiles; FAISS goes through all rows anew for each probe.

Measured on one core with faiss-cpu 1.15.1, d = 128, k = 18 (CPU milliseconds, by FAISS and in tiles): at 100,000 rows 1
probe 1.9 and 4.0, 2 probes 3.8 and 4.0, 3 probes 5.4 and 4.1, 8 probes 15 and 4.1. At 1,000 rows the two meet at 8
probes, and neither takes more than 0.1 ms before.
"""


def installed() -> list[str]:
    """Which of the distributions that carry FAISS are installed."""
    found = []
    for name in DISTRIBUTIONS:
        try:
            version(name)
        except PackageNotFoundError:
            continue
        found.append(name)
    return found


@cache
def faiss() -> Any:
    """The module, imported and set up once; raises ModelError if there is none or more than one build of it."""
    builds = installed()
    if len(builds) > 1:
        raise ModelError(
            f"{' and '.join(builds)} are both installed and overwrite each other; "
            f"uninstall both, then install Lamppost with exactly one of the extras cpu and gpu"
        )
    try:
        module = import_module("faiss")
    except ImportError as error:
        raise ModelError(
            f"FAISS cannot be imported ({error}); install Lamppost with exactly one of the extras cpu and gpu: "
            f"pip install 'lamppost[cpu]'"
        ) from error
    return module


def nearest(
    probes: NDArray[np.float32], rows: NDArray[np.float32], k: int, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The `k` rows of the greatest inner product for each probe: products float32[N,k] falling, row numbers int64[N,k].

    `probes` float32[N,d] and `rows` float32[M,d] are C-contiguous; 1 ≤ k ≤ M, and k is small: a row that is found is
    put into its place among k. Rows are searched where they lie, without a copy, by `threads` threads; the interpreter
    lock is released meanwhile. Of a probe that is not finite all row numbers are -1 and all products -inf.
    """
    if len(probes) >= TILES_FROM_PROBES and len(rows) >= ROWS:
        return best_rows(probes, rows, k, threads)
    module = faiss()
    # OpenMP keeps this number per calling thread, and callers are threads of Ray's choice
    module.omp_set_num_threads(threads)
    products, numbers = module.knn(probes, rows, k, module.METRIC_INNER_PRODUCT)
    lost = ~np.isfinite(probes).all(axis=1)
    products[lost], numbers[lost] = -np.inf, -1
    return products, numbers
