"""Selectors on a GPU, with a FAISS that is built for it. No GPU has run `Cagra`: it is type-checked."""

import threading
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.engine import faiss, installed
from pipeline.matching.selection import Selector, Templates

CAGRA_SEARCH: Final = 128
"""Rows that a search of the graph keeps, at least."""
SCRATCH_BYTES: Final = 256 * 2**20
"""GPU memory that FAISS sets aside for each index, of which two are there during a build; its default is 1.5 GiB."""
WITH_CUVS: Final = "a FAISS built with cuVS, such as conda's faiss-gpu-cuvs"
SOURCES: Final = {"GpuIndexFlatIP": "the extra gpu", "GpuIndexCagra": WITH_CUVS}
"""What to install for each index; PyPI's faiss-gpu has no cuVS, without which FAISS has no CAGRA."""


def lacking(index: str) -> str:
    """What FAISS or this machine lack for the GPU index FAISS calls `index`, in a clause; empty if nothing."""
    module = faiss()
    # of a FAISS that came another way than by pip it is not known what it is called
    present = " ".join(["the FAISS that is installed", *(f"({name})" for name in installed())])
    if not hasattr(module, "StandardGpuResources"):
        return f"{present} searches on no GPU; install {SOURCES[index]}"
    if not hasattr(module, index):
        return f"{present} is built without {index}; install {SOURCES[index]}"
    if not module.get_num_gpus():
        return "FAISS sees no GPU here"
    return ""


class OnGpu:
    """An index in the memory of a GPU, number 0 of those that this process sees; one search at a time."""

    def __init__(self, resources: Any, index: Any) -> None:
        self._resources = resources
        self._index = index
        self._turn = threading.Lock()

    def propose(self, probes: NDArray[np.float32], count: int, threads: int) -> NDArray[np.int64]:  # noqa: ARG002  # the GPU has its own
        """See `Selector`."""
        with self._turn:  # FAISS's scratch memory on a GPU is not for several threads
            numbers: NDArray[np.int64] = self._search(probes, count)
        return numbers

    def wipe(self) -> None:
        """Free it: a GPU's memory cannot be overwritten in place through FAISS."""
        self._index.reset()

    def _search(self, probes: NDArray[np.float32], count: int) -> Any:
        return self._index.search(probes, count)[1]


class Cagra(OnGpu):
    """A graph of neighbours on a GPU."""

    def _search(self, probes: NDArray[np.float32], count: int) -> Any:
        parameters = faiss().SearchParametersCagra()
        parameters.itopk_size = max(CAGRA_SEARCH, count)
        return self._index.search(probes, count, params=parameters)[1]


def _resources() -> Any:
    """Streams and scratch memory of one index: apart from those of others, a build keeps no search waiting."""
    resources = faiss().StandardGpuResources()
    resources.setTempMemory(SCRATCH_BYTES)
    return resources


def build_gpu_flat(templates: Templates, threads: int) -> Selector:  # noqa: ARG001  # the GPU has its own
    """Copy all templates to the GPU, which compares all with every probe."""
    module = faiss()
    resources = _resources()
    index = module.GpuIndexFlatIP(resources, templates.dimension)
    for chunk in templates.chunks():
        index.add(chunk)
    return OnGpu(resources, index)


def build_cagra(templates: Templates, threads: int) -> Selector:  # noqa: ARG001  # the GPU has its own
    """Link all templates at once, which is the one way in which FAISS builds this graph."""
    module = faiss()
    resources = _resources()
    index = module.GpuIndexCagra(resources, templates.dimension, module.METRIC_INNER_PRODUCT)
    rows = templates.sample(len(templates), seed=0)
    try:
        index.train(rows)
    finally:
        rows.fill(0.0)
    return Cagra(resources, index)
