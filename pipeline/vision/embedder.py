"""The embedder: aligned crops to templates."""

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.errors import ModelError
from pipeline.synthetic.faces import CROP_SIZE
from pipeline.vision.networks import EMBEDDING, EmbedderNetwork, fuse

Precision = Literal["fp32", "bf16"]

CHUNK: Final = 64
"""Crops per pass of the network; bounds memory at about 40 MB of activations."""


def to_input(pixels: NDArray[np.uint8], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return BGR pixels uint8[N, H, W, 3] as a network's input, [N, 3, H, W] in -1 … 1, channels last."""
    tensor = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(device).permute(0, 3, 1, 2)
    return tensor.to(torch.float32).sub_(127.5).div_(127.5).to(dtype)


class TorchEmbedder:
    """A Detector's crops to templates on a CPU or GPU; it holds no state between calls."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        version: str,
        *,
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> None:
        """Build the network from a state dict; raises ModelError if the weights do not fit it."""
        network = EmbedderNetwork()
        try:
            network.load_state_dict(dict(weights))
        except RuntimeError as error:
            raise ModelError(f"the embedder's weights do not fit the network: {error}") from error
        self._device = torch.device(device)
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        fused = fuse(network.eval()).to(self._device, self._dtype)
        self._network = fused.to(memory_format=torch.channels_last)
        self._version = version

    @property
    def dimension(self) -> int:
        """Components of a template."""
        return EMBEDDING

    @property
    def version(self) -> str:
        """The beginning of the weights' SHA-256."""
        return self._version

    @torch.inference_mode()
    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return templates float32[N, 128], L2-normalised, of aligned BGR crops uint8[N, 112, 112, 3]; N may be 0.

        Raises ModelError if the crops have another shape or type.
        """
        if crops.ndim != 4 or crops.shape[1:] != (CROP_SIZE, CROP_SIZE, 3) or crops.dtype != np.uint8:
            raise ModelError(f"crops are {crops.dtype}{list(crops.shape)}; the embedder takes uint8[N, 112, 112, 3]")
        templates = np.empty((len(crops), EMBEDDING), np.float32)
        for first in range(0, len(crops), CHUNK):
            raw = self._network(to_input(crops[first : first + CHUNK], self._device, self._dtype))
            templates[first : first + CHUNK] = functional.normalize(raw.float()).cpu().numpy()
        return templates
