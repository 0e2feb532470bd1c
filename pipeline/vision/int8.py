"""The shipped networks in int8 arithmetic on a CPU: oneDNN's quantised convolutions over uint8 activations.

Weights are quantised per output channel when a network is loaded. Activations, which are never negative after a ReLU,
are quantised per layer by ceilings that were found when the weights were made (`activations`): finding them needs
pictures, which a worker has none of when it starts. The pixels are taken as they are, uint8, so nothing is converted
on the way in.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import ModelError
from pipeline.vision.networks import DetectorNetwork, EmbedderNetwork, Residual

PIXEL_SCALE: Final = 1 / 127.5
PIXEL_ZERO: Final = 128
_NO_DILATION: Final = [1, 1]

Ceilings = Mapping[str, float]
"""By the name of each convolution: the value that its input's 255 stands for."""


def int8_available() -> bool:
    """Whether this processor has int8 dot products (VNNI) and this torch the operations.

    Without VNNI the products are added up in 16 bits, which can overflow.
    """
    return bool(torch.cpu._is_vnni_supported()) and hasattr(torch.ops.onednn, "qconv2d_pointwise")


class Int8Convolution:
    """One convolution with its ReLU, from uint8[N, H, W, C] to uint8 or float32[N, H', W', O].

    A convolution whose stride is its size k is computed as one of k×1 over k pixels of a row at once, which are one
    pixel of k times the channels in memory: oneDNN is faster at it.
    """

    def __init__(
        self, layer: nn.Conv2d, given: float, made: float | None, *, zero: int = 0, offset: float = 0.0
    ) -> None:
        """Quantise a convolution with a bias.

        `given` and `made` are what a step of its input and output is worth; without `made` the output is float32 and
        no ReLU is applied. The input's value is given · (u - zero) + offset.
        """
        weight, bias = layer.weight.detach().float(), layer.bias
        if bias is None:
            raise ModelError("int8 needs a network whose batch normalisations are folded in")
        self._patch = layer.kernel_size[0] if layer.kernel_size == layer.stride and layer.kernel_size[0] > 1 else 0
        self._bias = bias.detach().float() + offset * weight.sum((1, 2, 3))
        self._stride, self._padding = list(layer.stride), [int(p) for p in layer.padding]
        if self._patch:
            weight = weight.permute(0, 3, 1, 2).reshape(len(weight), -1, self._patch, 1)
            self._stride = [self._patch, 1]
        self._scales = weight.abs().amax((1, 2, 3)).clamp_min(1e-12) / 127
        self._zeros = torch.zeros_like(self._scales, dtype=torch.int32)
        steps = torch.round(weight / self._scales.view(-1, 1, 1, 1)).to(torch.int8)
        self._given, self._zero, self._made = given, zero, made
        self._weight = torch.ops.onednn.qconv_prepack(
            steps, self._scales, given, zero, self._stride, self._padding, _NO_DILATION, 1, None
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Return the convolution's output."""
        plain = self._made is None
        out: Tensor = torch.ops.onednn.qconv2d_pointwise.default(
            self._nchw(x), self._given, self._zero, self._weight, self._scales, self._zeros, self._bias, self._stride,
            self._padding, _NO_DILATION, 1, 1.0 if plain else self._made, 0, torch.float32 if plain else torch.uint8,
            "none" if plain else "relu", [], "",
        )  # fmt: skip
        return out.permute(0, 2, 3, 1)

    def plus(self, x: Tensor, beside: Tensor, worth: float) -> Tensor:
        """Return ReLU(convolution + `beside`), whose step is `worth`; the result may take `beside`'s memory."""
        out: Tensor = torch.ops.onednn.qconv2d_pointwise.binary(
            self._nchw(x), self._given, self._zero, self._weight, self._scales, self._zeros, beside.permute(0, 3, 1, 2),
            self._bias, self._stride, self._padding, _NO_DILATION, 1, self._made, 0, torch.uint8, worth, 0, "sum", 1.0,
            "relu", [], "",
        )  # fmt: skip
        return out.permute(0, 2, 3, 1)

    def _nchw(self, x: Tensor) -> Tensor:
        """Return an NHWC tensor as an NCHW view, pixels of a row as channels where they are multiplied together."""
        if self._patch:
            count, height, width, channels = x.shape
            x = x.reshape(count, height, width // self._patch, self._patch * channels)
        return x.permute(0, 3, 1, 2)


class _Int8Residual:
    """Two convolutions beside an identity."""

    def __init__(self, block: Residual, name: str, steps: Ceilings, made: float) -> None:
        self._given = steps[f"{name}.first.0"]
        between = steps[f"{name}.second.0"]
        self._first = Int8Convolution(_layer(block.first), self._given, between)
        self._second = Int8Convolution(_layer(block.second), between, made)

    def __call__(self, x: Tensor) -> Tensor:
        return self._second.plus(self._first(x), x, self._given)


def _layer(sequence: nn.Module) -> nn.Conv2d:
    layer = sequence[0]  # type: ignore[index]  # every convolution is the first of a Sequential
    if not isinstance(layer, nn.Conv2d):
        raise ModelError(f"int8 knows no {type(layer).__name__}")
    return layer


def _first_name(block: nn.Module, name: str) -> str:
    """Return the name of the convolution that a block's input goes into."""
    return f"{name}.first.0" if isinstance(block, Residual) else f"{name}.0"


def _chain(blocks: nn.Module, name: str, steps: Ceilings, made: float) -> list[Int8Convolution | _Int8Residual]:
    """Return the quantised blocks of a Sequential whose output has a step of `made`."""
    named = [(f"{name}.{number}", block) for number, block in blocks.named_children()]
    worth = [steps[_first_name(block, at)] for at, block in named[1:]] + [made]
    return [
        _Int8Residual(block, at, steps, after)
        if isinstance(block, Residual)
        else Int8Convolution(_layer(block), steps[f"{at}.0"], after)
        for (at, block), after in zip(named, worth, strict=True)
    ]


def _stem(layer: nn.Conv2d, made: float) -> Int8Convolution:
    """Return the first convolution, over the pixels themselves: 0 … 255 stands for -1 … 1."""
    return Int8Convolution(layer, PIXEL_SCALE, made, zero=PIXEL_ZERO, offset=(PIXEL_ZERO - 127.5) / 127.5)


def _steps(ceilings: Ceilings) -> dict[str, float]:
    return {name: ceiling / 255 for name, ceiling in ceilings.items()}


class Int8Embedder:
    """The compact embedder; implements `Forward`. The depthwise pooling and the head are one linear layer here."""

    def __init__(self, network: EmbedderNetwork, ceilings: Ceilings) -> None:
        """Quantise a network whose batch normalisations are folded; raises KeyError if a ceiling is missing."""
        steps = _steps(ceilings)
        last = steps["pool.0"]
        blocks = list(network.body.named_children())
        self._stem = _stem(_layer(blocks[0][1]), steps[_first_name(blocks[1][1], "body.1")])
        rest = _chain(network.body, "body", steps | {"body.0.0": 1.0}, last)
        self._body = rest[1:]
        pool, head = _layer(network.pool), network.head[0]
        if not isinstance(head, nn.Linear) or pool.bias is None:
            raise ModelError("int8 needs a network whose batch normalisations are folded in")
        spread = pool.weight.detach().view(pool.groups, -1, *pool.kernel_size)
        taken = head.weight.detach().view(head.out_features, *spread.shape[:2])
        weight = torch.einsum("ocm,cmyx->oyxc", taken, spread).reshape(head.out_features, -1)
        self._step = last
        self._scales = weight.abs().amax(1).clamp_min(1e-12) / 127
        self._zeros = torch.zeros_like(self._scales, dtype=torch.int32)
        steps_of_weight = torch.round(weight / self._scales[:, None]).to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(steps_of_weight, None)
        self._bias = head.bias.detach() + head.weight.detach() @ pool.bias.detach()

    @torch.inference_mode()
    def __call__(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return embeddings float32[N, 128] of crops uint8[N, 112, 112, 3]."""
        x = self._stem(torch.from_numpy(np.require(pixels, requirements=["C", "W"])))
        for block in self._body:
            x = block(x)
        out: Tensor = torch.ops.onednn.qlinear_pointwise.default(
            x.reshape(len(pixels), -1), self._step, 0, self._weight, self._scales, self._zeros, self._bias, 1.0, 0,
            torch.float32, "none", [], "",
        )  # fmt: skip
        return out


class Int8Detector:
    """The detector; implements `Forward`."""

    def __init__(self, network: DetectorNetwork, ceilings: Ceilings) -> None:
        """Quantise a network whose batch normalisations are folded; raises KeyError if a ceiling is missing."""
        steps = _steps(ceilings)
        # a sum of two numbers that are not negative is no less than either, so one step serves for all three
        both = steps["merge.0"]
        steps["coarse.0.0"] = both
        self._stem = _stem(_layer(network.stem), steps["early.0"])
        self._early = Int8Convolution(_layer(network.early), steps["early.0"], steps["down.0"])
        self._down = Int8Convolution(_layer(network.down), steps["down.0"], steps["fine.0.first.0"])
        self._fine = _chain(network.fine, "fine", steps, both)
        self._coarse = _chain(network.coarse, "coarse", steps, steps["lateral.0"])
        self._lateral = Int8Convolution(_layer(network.lateral), steps["lateral.0"], both)
        self._merge = Int8Convolution(_layer(network.merge), both, steps["output"])
        self._output = Int8Convolution(network.output, steps["output"], None)

    @torch.inference_mode()
    def __call__(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return raw outputs float32[N, 15, H/8, W/8] of pictures uint8[N, H, W, 3]."""
        x = self._down(self._early(self._stem(torch.from_numpy(np.require(pixels, requirements=["C", "W"])))))
        for block in self._fine:
            x = block(x)
        coarse = x
        for block in self._coarse:
            coarse = block(coarse)
        narrow = self._lateral(coarse).permute(0, 3, 1, 2)
        beside = functional.interpolate(narrow, scale_factor=2.0, mode="nearest").permute(0, 2, 3, 1)
        x = x + torch.minimum(beside, 255 - x)  # uint8 would wrap around
        return self._output(self._merge(x)).permute(0, 3, 1, 2).contiguous()
