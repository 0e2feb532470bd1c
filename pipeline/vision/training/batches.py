"""The batches that an embedder is trained on: crops of some people, under random landmarks, exposure and colour."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.vision.forward import to_input
from pipeline.vision.training.patches import VIEWS, Patches

MOST_THREADS: Final = 12
"""More decode no faster: what is left of a batch in Python takes turns."""

Batch = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]
"""Crops uint8[N, 112, 112, 3], their BGR gains float32[N, 3] and their labels int64[N]."""


class Mixture(NamedTuple):
    """What batches are drawn from, and how many people with how many different views each make one."""

    seed: int
    people: int
    people_per_batch: int
    views_per_person: int


def batch(patches: Patches, mixture: Mixture, step: int) -> Batch:
    """Return the batch of a step, a function of the mixture and the step."""
    rng = np.random.default_rng([mixture.seed, step])
    people = rng.choice(mixture.people, mixture.people_per_batch, replace=False)
    views = np.stack([rng.choice(VIEWS, mixture.views_per_person, replace=False) for _ in people])
    indices = (people[:, None] * VIEWS + views).ravel()
    crops = np.stack([patches.jittered_crop(int(i), rng) for i in indices])
    # Random gain and colour per picture: exposure and white balance must not identify.
    gain = rng.uniform(0.75, 1.25, (len(crops), 1)) * rng.uniform(0.94, 1.06, (len(crops), 3))
    return crops, gain.astype(np.float32), patches.labels[indices]


def batches(patches: Patches, mixture: Mixture, first: int, steps: int) -> Iterator[Batch]:
    """Yield the batches from a first step on; threads, one for each core, decode ahead of the network."""
    threads = min(len(os.sched_getaffinity(0)), MOST_THREADS)
    ahead = threads + 1
    pool = ThreadPoolExecutor(threads)
    try:
        made = deque(pool.submit(batch, patches, mixture, step) for step in range(first, min(first + ahead, steps)))
        for step in range(first, steps):
            yield made.popleft().result()
            if step + ahead < steps:
                made.append(pool.submit(batch, patches, mixture, step + ahead))
    finally:
        pool.shutdown(cancel_futures=True)


def exposed(crops: NDArray[np.uint8], gain: NDArray[np.float32], device: torch.device) -> Tensor:
    """Return crops under their gains as a network's input."""
    factor = torch.from_numpy(gain).to(device)[:, :, None, None]
    return to_input(crops, device).add_(1.0).mul_(factor).sub_(1.0).clamp_(max=1.0)
