"""FAISS itself: that exactly one build of it is there, how it computes, and the one search that Lamppost asks of it."""

from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError

DISTRIBUTIONS: Final = ("faiss-cpu", "faiss-gpu")
"""They carry the same module; with both installed, files of one lie over files of the other."""

BLAS_FROM_PROBES: Final = 4
"""Batches of as many probes are multiplied by BLAS.

The wheel's own threshold is 128,000 probes, which keeps BLAS off. Measured on one core with faiss-cpu 1.15.1, d = 128,
100,000 rows: 1 probe 2.1 ms without and 4.0 ms with BLAS, 4 probes 8.0 and 4.0, 32 probes 63 and 11, 128 probes 252 and
36. At 200 rows the two meet at 4 to 8 probes, and neither takes more than 0.3 ms.
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
    module.cvar.distance_compute_blas_threshold = BLAS_FROM_PROBES
    return module


def nearest(
    probes: NDArray[np.float32], rows: NDArray[np.float32], k: int, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The `k` rows of the greatest inner product for each probe: products float32[N,k] falling, row numbers int64[N,k].

    `probes` float32[N,d] and `rows` float32[M,d] are C-contiguous and searched where they lie, without a copy; k ≤ M.
    The interpreter lock is released meanwhile. A row number is -1 where a probe is not finite.
    """
    module = faiss()
    # OpenMP keeps this number per calling thread, and callers are threads of Ray's choice
    module.omp_set_num_threads(threads)
    products, numbers = module.knn(probes, rows, k, module.METRIC_INNER_PRODUCT)
    return products, numbers
