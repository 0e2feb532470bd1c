"""The kinds of index that a shard of the watchlist can have."""

from typing import Final, Literal

IndexKind = Literal["flat", "hnsw", "ivf-pq-fastscan", "gpu-flat", "cagra"]

GPU_INDEXES: Final[dict[IndexKind, str]] = {"gpu-flat": "GpuIndexFlatIP", "cagra": "GpuIndexCagra"}
"""Those that need a GPU, and what FAISS calls their indexes."""
