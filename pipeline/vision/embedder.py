"""The embedder: aligned crops to templates."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.errors import ModelError
from pipeline.synthetic.faces import CROP_SIZE
from pipeline.vision.backbones import Backbone, backbone_network
from pipeline.vision.forward import Forward, Precision
from pipeline.vision.networks import EMBEDDING
from pipeline.vision.precision import embedder_forward

CHUNK: Final = 64
"""Crops per pass of the network; bounds memory at about 40 MB of activations."""


class TorchEmbedder:
    """A Detector's crops to templates on a CPU or GPU; it holds no state between calls."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        version: str,
        *,
        device: str = "cpu",
        precision: Precision = "fp32",
        backbone: Backbone = "compact",
        ceilings: Mapping[str, float] | None = None,
    ) -> None:
        """Build the network from a state dict; `ceilings` of its activations are needed for int8.

        Raises ModelError if the weights do not fit the network, or the precision cannot be had.
        """
        network = backbone_network(backbone)
        try:
            network.load_state_dict(dict(weights))
        except RuntimeError as error:
            raise ModelError(f"the embedder's weights do not fit the network: {error}") from error
        self._forward: Forward = embedder_forward(network, device, precision, ceilings)
        self._version = version
        self.precision: Final = precision
        """The arithmetic that it computes in."""

    @property
    def dimension(self) -> int:
        """Components of a template."""
        return EMBEDDING

    @property
    def version(self) -> str:
        """The beginning of the weights' SHA-256."""
        return self._version

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return templates float32[N, 128], L2-normalised, of aligned BGR crops uint8[N, 112, 112, 3]; N may be 0.

        Raises ModelError if the crops have another shape or type.
        """
        check_crops(crops)
        templates = np.empty((len(crops), EMBEDDING), np.float32)
        for first in range(0, len(crops), CHUNK):
            templates[first : first + CHUNK] = normalised(self._forward(crops[first : first + CHUNK]))
        return templates


def check_crops(crops: NDArray[np.uint8]) -> None:
    """Raise ModelError unless crops are uint8[N, 112, 112, 3]."""
    if crops.ndim != 4 or crops.shape[1:] != (CROP_SIZE, CROP_SIZE, 3) or crops.dtype != np.uint8:
        raise ModelError(f"crops are {crops.dtype}{list(crops.shape)}; the embedder takes uint8[N, 112, 112, 3]")


def normalised(raw: Tensor) -> NDArray[np.float32]:
    """Return a network's embeddings, float[N, d], at length 1 as float32 on the CPU."""
    templates: NDArray[np.float32] = functional.normalize(raw.float()).cpu().numpy()
    return templates
