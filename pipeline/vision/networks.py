"""The two networks as torch modules: shapes only, no weights and no policy."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

EMBEDDING: Final = 128
DETECTOR_STRIDE: Final = 8
DETECTOR_OUTPUTS: Final = 15
"""Per cell: score, four box distances, ten landmark offsets."""


def convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    """Return convolution, batch normalisation and ReLU."""
    padding = 0 if size == stride else size // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two 3×3 convolutions beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels, 3)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return functional.relu(x + self.second(self.first(x)))


class EmbedderNetwork(nn.Module):
    """Aligned crops float[N, 3, 112, 112], roughly -1 … 1, to embeddings float[N, 128] (not normalised)."""

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 128)) -> None:
        super().__init__()
        first, second, third = widths
        self.body = nn.Sequential(
            convolution(3, first, 4, 4),
            Residual(first),
            convolution(first, second, 2, 2),
            Residual(second),
            Residual(second),
            convolution(second, third, 2, 2),
            Residual(third),
            Residual(third),
        )
        self.pool = nn.Sequential(nn.Conv2d(third, 2 * third, 7, groups=third, bias=False), nn.BatchNorm2d(2 * third))
        self.head = nn.Sequential(nn.Linear(2 * third, EMBEDDING, bias=False), nn.BatchNorm1d(EMBEDDING))

    def forward(self, x: Tensor) -> Tensor:
        """Return embeddings."""
        embedding: Tensor = self.head(self.pool(self.body(x)).flatten(1))
        return embedding


class DetectorNetwork(nn.Module):
    """Images float[N, 3, H, W], H and W multiples of 16, to float[N, 15, H/8, W/8], one cell for 8×8 pixels.

    One level: faces from about 10 to 130 px; a coarser branch adds context.
    """

    def __init__(self, widths: tuple[int, int, int] = (16, 32, 64)) -> None:
        super().__init__()
        first, second, third = widths
        self.stem = convolution(3, first, 4, 4)
        self.early = convolution(first, first, 3)
        self.down = convolution(first, second, 3, 2)
        self.fine = nn.Sequential(Residual(second), Residual(second))
        self.coarse = nn.Sequential(convolution(second, third, 3, 2), Residual(third), Residual(third))
        self.lateral = convolution(third, second, 1)
        self.merge = convolution(second, second, 3)
        self.output = nn.Conv2d(second, DETECTOR_OUTPUTS, 1)
        nn.init.constant_(self.output.bias[:1], -4.6)  # type: ignore[index]  # the bias exists: it is not switched off

    def forward(self, x: Tensor) -> Tensor:
        """Return raw outputs per cell."""
        fine = self.fine(self.down(self.early(self.stem(x))))
        coarse = functional.interpolate(self.lateral(self.coarse(fine)), scale_factor=2.0, mode="nearest")
        out: Tensor = self.output(self.merge(fine + coarse))
        return out


def fuse(module: nn.Module) -> nn.Module:
    """Fold every batch normalisation that follows a convolution or linear layer into it; for inference only."""
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential) and len(child) >= 2:
            layer, norm = child[0], child[1]
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                child[0] = torch.nn.utils.fuse_conv_bn_eval(layer.eval(), norm.eval())
                child[1] = nn.Identity()
            elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                child[0] = torch.nn.utils.fuse_linear_bn_eval(layer.eval(), norm.eval())
                child[1] = nn.Identity()
        fuse(child)
        setattr(module, name, child)
    return module
