"""From pixels to a network's raw output, in one precision on one device."""

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.vision.fixed_batches import FixedBatches
from pipeline.vision.networks import fuse

Precision = Literal["fp32", "bf16", "int8"]

Forward = Callable[[NDArray[np.uint8]], Tensor]
"""BGR pixels uint8[N, H, W, 3] to a network's raw output, float32 on the CPU."""

GPU_BATCHES: Final = (1, 8, 32, 64)
"""Batch sizes that a GPU replays a captured graph for; others are padded to the next."""


def to_input(pixels: NDArray[np.uint8], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return BGR pixels uint8[N, H, W, 3] as a network's input, [N, 3, H, W] in -1 … 1, channels last."""
    tensor = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(device).permute(0, 3, 1, 2)
    return tensor.to(torch.float32).sub_(127.5).div_(127.5).to(dtype)


class FloatForward:
    """A network in fp32 or bf16, batch normalisations folded, channels last; implements `Forward`.

    On a GPU the network is captured once per size of `GPU_BATCHES` and replayed: its kernels are short, and starting
    them one by one from Python takes longer than they do.
    """

    def __init__(self, network: nn.Module, device: str, precision: Literal["fp32", "bf16"]) -> None:
        self._device = torch.device(device)
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        fused = fuse(network.eval()).to(self._device, self._dtype).to(memory_format=torch.channels_last)
        self._run: Callable[[Tensor], Tensor] = fused
        if self._device.type == "cuda":
            self._run = FixedBatches(fused, GPU_BATCHES)

    @torch.inference_mode()
    def __call__(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return the raw output of N pictures."""
        return self._run(to_input(pixels, self._device, self._dtype)).float().cpu()
