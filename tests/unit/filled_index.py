"""What tests of an index put into it and ask of it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.index import InnerProductIndex
from pipeline.matching.kinds import build_hnsw, build_ivf_pq_fastscan
from pipeline.matching.shard import FaissShard
from pipeline.records import Candidate, Probes, WatchlistEntry

D: Final = 32
SECOND: Final = 10**9
BUILDS: Final = {"hnsw": build_hnsw, "ivf-pq-fastscan": build_ivf_pq_fastscan}
"""Each kind that a CPU can search."""


def units(seed: int, count: int) -> NDArray[np.float32]:
    """Random directions."""
    vectors = np.random.default_rng(seed).standard_normal((count, D)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def probes(templates: NDArray[np.float32], capture_ns: int = 0) -> Probes:
    """Faces that look exactly like these."""
    return Probes(templates.copy(), np.full(len(templates), capture_ns))


def filled(index: InnerProductIndex, templates: NDArray[np.float32], first: int = 0, prefix: str = "p") -> None:
    """Add an entry for each template and make them visible."""
    for number, template in enumerate(templates, first):
        index.put(WatchlistEntry(f"{prefix}{number}", template, f"case/{number}"))
    index.publish(index.latest.version + 1)


def found(index: InnerProductIndex, asked: Probes, k: int = 3) -> list[tuple[Candidate, ...]]:
    """The candidates of a search now."""
    return list(FaissShard(0, index).search(asked, k).candidates)
