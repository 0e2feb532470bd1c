"""Ceilings of a network's activations, which int8 needs: found on pictures when weights are made, kept beside them."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.vision.forward import to_input

SAMPLES: Final = 40_000
"""Values kept of each layer and batch."""
CLIPS: Final = np.linspace(0.3, 1.0, 71)
"""Shares of the greatest value that are tried as a ceiling."""


def activation_ceilings(network: nn.Module, batches: Iterable[NDArray[np.uint8]]) -> dict[str, float]:
    """Return, by the name of each convolution but the first, the ceiling of its input.

    `network` has its batch normalisations folded; `batches` are BGR pixels uint8[N, H, W, 3]. The ceiling is that with
    the least mean square error of rounding to 255 steps and clipping.
    """
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)][1:]
    seen: dict[str, list[NDArray[np.float32]]] = {name: [] for name, _ in layers}
    greatest = dict.fromkeys(seen, 0.0)
    rng = np.random.default_rng(0)

    def watch(name: str, x: Tensor) -> None:
        flat = x.detach().reshape(-1)
        greatest[name] = max(greatest[name], float(flat.max()))
        seen[name].append(flat[torch.from_numpy(rng.integers(flat.numel(), size=SAMPLES))].numpy())

    hooks = [
        layer.register_forward_pre_hook(lambda _, given, name=name: watch(name, given[0])) for name, layer in layers
    ]
    try:
        with torch.inference_mode():
            for pixels in batches:
                network(to_input(pixels, torch.device("cpu")))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: _ceiling(np.concatenate(values), greatest[name]) for name, values in seen.items()}


def _ceiling(values: NDArray[np.float32], greatest: float) -> float:
    """Return the clip of the least mean square error for values that are at least 0."""
    if greatest <= 0:
        return 1.0
    errors = []
    for clip in CLIPS:
        step = greatest * clip / 255
        rounded = np.clip(np.round(values / step), 0, 255) * step
        errors.append(float(np.square(values - rounded).mean()))
    return round(greatest * float(CLIPS[int(np.argmin(errors))]), 6)
