"""Enrolment: several pictures of one person to one template."""

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import WatchlistError
from pipeline.ports import Embedder


def enrol(embedder: Embedder, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return one template float32[d], the normalised mean of those of aligned crops uint8[V, 112, 112, 3].

    Raises WatchlistError without crops, or if their templates cancel out.
    """
    if not len(crops):
        raise WatchlistError("enrolment needs at least one picture of the person")
    return merged(embedder.embed(crops))


def merged(templates: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return one template float32[d], the normalised mean of those of one person's pictures, float32[V, d].

    Raises WatchlistError if they cancel out.
    """
    mean = templates.mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length < 1e-3:
        raise WatchlistError("the pictures for an enrolment contradict each other: their templates cancel out")
    template: NDArray[np.float32] = (mean / length).astype(np.float32)
    return template
