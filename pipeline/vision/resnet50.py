"""ResNet-50 (He et al. 2015) as published face recognisers use it: no max-pool, for crops of 112×112."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.vision.networks import EMBEDDING, convolution

BLOCKS: Final = (3, 4, 6, 3)
EXPANSION: Final = 4


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions beside an identity, or a 1×1 convolution where the shape changes."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.reduce = convolution(inputs, width, 1)
        self.spatial = convolution(width, width, 3, stride)
        # Each block begins as what is beside it (Goyal et al. 2017, 5.1), so that a deep network learns from the start.
        norm = nn.BatchNorm2d(outputs)
        nn.init.zeros_(norm.weight)
        self.expand = nn.Sequential(nn.Conv2d(width, outputs, 1, bias=False), norm)
        self.beside: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.beside = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return float[N, 4·width, H/stride, W/stride]."""
        return functional.relu(self.expand(self.spatial(self.reduce(x))) + self.beside(x))


class ResNet50(nn.Module):
    """Aligned crops float[N, 3, 112, 112], roughly -1 … 1, to embeddings float[N, 128] (not normalised).

    The first convolution has stride 2 and no max-pool follows, so the last stage still sees 7×7 cells of a stride of
    16. Pooling is the mean.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.stem = convolution(3, width, 7, 2)
        stages: list[nn.Module] = []
        inputs = width
        for number, blocks in enumerate(BLOCKS):
            planes = width * 2**number
            for block in range(blocks):
                stages.append(Bottleneck(inputs, planes, 2 if block == 0 and number > 0 else 1))
                inputs = EXPANSION * planes
        self.body = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.Linear(inputs, EMBEDDING, bias=False), nn.BatchNorm1d(EMBEDDING))

    def forward(self, x: Tensor) -> Tensor:
        """Return embeddings."""
        embedding: Tensor = self.head(torch.flatten(functional.adaptive_avg_pool2d(self.body(self.stem(x)), 1), 1))
        return embedding
