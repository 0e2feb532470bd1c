"""How an embedder in training does on people whom it does not train on."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from pipeline.synthetic.seeds import Population, ValidationGroups, group
from pipeline.vision.forward import to_input
from pipeline.vision.training.patches import VIEWS, load_or_render

FPIR: Final = 0.01
STREAM: Final = 1 << 20
"""Added to the seed of the pictures, so that light, poses and places are not those of the training."""
BATCH: Final = 200


class Validation:
    """Pictures of people of the validation population, and the TPIR that an embedder reaches on them."""

    def __init__(
        self, people: int, folder: Path, seed: int, processes: int, progress: Callable[[str, int, int], None]
    ) -> None:
        """Render the pictures, or read those that `folder` keeps.

        Half of the people are listed, with one picture of enrolment each; the others are not, and FPIR 1 % takes 300
        of them.
        """
        self._people = people
        patches = load_or_render(
            folder / f"validation-{seed}-{people}.npz",
            group(Population.VALIDATION, ValidationGroups.TRAINING_LOG + seed, people),
            STREAM + seed,
            processes,
            progress,
        )
        rng = np.random.default_rng(seed)
        self._crops: NDArray[np.uint8] = np.stack([patches.jittered_crop(i, rng) for i in range(people * VIEWS)])

    @torch.no_grad()
    def tpir(self, network: nn.Module, device: torch.device) -> float:
        """Return the share of listed faces found at rank 1 over the threshold that 1 % of the unlisted faces reach.

        The network comes back in training mode.
        """
        network.eval()
        parts = [self._crops[first : first + BATCH] for first in range(0, len(self._crops), BATCH)]
        embeddings = torch.cat([functional.normalize(network(to_input(part, device))).cpu() for part in parts])
        network.train()
        views = embeddings.reshape(self._people, VIEWS, -1).numpy()
        return tpir(views[: self._people // 2], views[self._people // 2 :], FPIR)


def tpir(listed: NDArray[np.float32], unlisted: NDArray[np.float32], fpir: float) -> float:
    """Return the TPIR at rank 1 of pictures float32[people, views, d].

    The first view is one of enrolment: that of the listed is their entry, that of the unlisted is not searched.
    """
    gallery, dimension = listed[:, 0], listed.shape[2]
    best = (unlisted[:, 1:].reshape(-1, dimension) @ gallery.T).max(axis=1)
    threshold = np.quantile(best, 1.0 - fpir)
    scores = listed[:, 1:] @ gallery.T  # [people, views - 1, people]
    own = scores[np.arange(len(listed)), :, np.arange(len(listed))]
    return float(np.mean((own >= scores.max(axis=2)) & (own > threshold)))
