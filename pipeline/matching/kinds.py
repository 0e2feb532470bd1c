"""The kinds of index: how the selector of each is built with FAISS, and with what parameters.

FAISS selects, by its own arithmetic; scores are computed on the rows. So each selector is set up to propose somewhat
more than is asked for and is judged by how rarely the best row is not among it.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog.indexes import IndexKind
from pipeline.matching.approximate import ApproximateIndex
from pipeline.matching.engine import faiss
from pipeline.matching.equals import Distinct, Groups
from pipeline.matching.gpu import build_cagra, build_gpu_flat
from pipeline.matching.index import InnerProductIndex
from pipeline.matching.selection import Kind, Selector, Templates

HNSW_LINKS: Final = 32
"""Links of a node, twice as many on the lowest level."""
HNSW_BUILD: Final = 64
"""Candidates that are looked at to link a node."""
HNSW_SEARCH: Final = 128
"""Candidates that are kept in a search, at least."""

IVF_LISTS: Final = 2
"""Inverted lists ÷ square root of the templates."""
IVF_PROBED: Final = 256
"""Lists that are searched; with fewer the best row is more often in another one than lost for its code."""
IVF_TRAINED_ON: Final = 40
"""Templates of each list that its centroid is trained on."""
IVF_REFINED: Final = 4
"""Rows proposed for each that is asked for: 4-bit codes order them so roughly that the best may be far down."""
PQ_COMPONENTS: Final = (4, 2, 1)
"""Components of a template that one 4-bit code stands for, the first that its dimension is a multiple of; with 128 a
row takes 16 bytes."""
SEED: Final = 1


class Hnsw:
    """A graph of neighbours over copies of the templates, one of those that are equal."""

    def __init__(self, index: Any, groups: Groups) -> None:
        self._index = index
        self._groups = groups

    def propose(self, probes: NDArray[np.float32], count: int, threads: int) -> NDArray[np.int64]:
        """See `Selector`."""
        module = faiss()
        module.omp_set_num_threads(threads)
        parameters = module.SearchParametersHNSW(efSearch=max(HNSW_SEARCH, count))
        numbers: NDArray[np.int64] = self._index.search(probes, count, params=parameters)[1]
        return self._groups.members(numbers, count)

    def wipe(self) -> None:
        """See `Selector`."""
        _wipe(self._index.storage)


class IvfPqFastScan:
    """Inverted lists of 4-bit codes, which are no copies of the templates; but a centroid of few may be one."""

    def __init__(self, index: Any) -> None:
        self._index = index

    def propose(self, probes: NDArray[np.float32], count: int, threads: int) -> NDArray[np.int64]:
        """See `Selector`."""
        module = faiss()
        module.omp_set_num_threads(threads)
        parameters = module.SearchParametersIVF(nprobe=IVF_PROBED)
        wide = min(IVF_REFINED * count, self._index.ntotal)
        numbers: NDArray[np.int64] = self._index.search(probes, wide, params=parameters)[1]
        return numbers

    def wipe(self) -> None:
        """See `Selector`."""
        _wipe(self._index.quantizer)


def build_hnsw(templates: Templates, threads: int) -> Selector:
    """Link one template after another."""
    module = faiss()
    module.omp_set_num_threads(threads)
    index = module.IndexHNSWFlat(templates.dimension, HNSW_LINKS, module.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = HNSW_BUILD
    # room for all of them at once: vectors that grow would leave copies of templates behind
    codes = module.downcast_index(index.storage).codes
    codes.resize(len(templates) * index.storage.sa_code_size())
    codes.resize(0)
    distinct = Distinct(templates)
    try:
        for chunk in distinct.chunks():
            index.add(chunk)
    except BaseException:
        _wipe(index.storage)
        raise
    return Hnsw(index, distinct.groups())


def build_ivf_pq_fastscan(templates: Templates, threads: int) -> Selector:
    """Train centroids and codes anew on a sample, since the old ones were made of templates that may be gone."""
    module = faiss()
    lists = min(IVF_LISTS * math.isqrt(len(templates)), len(templates) // IVF_TRAINED_ON)
    dimension = templates.dimension
    codes = dimension // next(each for each in PQ_COMPONENTS if dimension % each == 0)
    quantizer = module.IndexFlatIP(dimension)
    index = module.IndexIVFPQFastScan(quantizer, dimension, lists, codes, 4, module.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid = IVF_TRAINED_ON
    sample = templates.sample(IVF_TRAINED_ON * lists, SEED)
    module.omp_set_num_threads(1)  # of many short steps, after each of which threads would wait for the slowest
    try:
        index.train(sample)
    finally:
        sample.fill(0.0)
    module.omp_set_num_threads(threads)
    for chunk in templates.chunks():
        index.add(chunk)
    return IvfPqFastScan(index)


KINDS: Final[dict[IndexKind, Kind | None]] = {
    "flat": None,
    "hnsw": Kind(build_hnsw, least_rows=5_000),
    "ivf-pq-fastscan": Kind(build_ivf_pq_fastscan, least_rows=5_000),
    "gpu-flat": Kind(build_gpu_flat, least_rows=5_000),
    "cagra": Kind(build_cagra, least_rows=5_000),
}
"""What builds the selector of each; None: there is none, and all rows are searched."""


def make_index(
    kind: IndexKind, dimension: int, *, threads: int, rebuild_seconds: float, build_threads: int | None = None
) -> InnerProductIndex:
    """An empty index of a kind, whose searches use `threads` threads; see `ApproximateIndex` for the rest."""
    selector = KINDS[kind]
    if selector is None:
        return InnerProductIndex(dimension, threads=threads)
    return ApproximateIndex(
        dimension, selector, threads=threads, build_threads=build_threads, rebuild_seconds=rebuild_seconds
    )


def _wipe(storage: Any) -> None:
    """Overwrite the vectors of a flat FAISS index where they lie."""
    module = faiss()
    flat = module.downcast_index(storage)
    vectors: NDArray[np.float32] = module.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)
    vectors.fill(0.0)
