"""The embedder's networks by name; the manifest of the weights says which one they are of."""

from torch import nn

from pipeline.vision.networks import EmbedderNetwork
from pipeline.vision.resnet50 import ResNet50
from pipeline.vision.shipped import Backbone

__all__ = ["Backbone", "backbone_network"]


def backbone_network(backbone: Backbone) -> nn.Module:
    """Return an embedder's network with its first weights: crops float[N, 3, 112, 112] to float[N, 128]."""
    return EmbedderNetwork() if backbone == "compact" else ResNet50()
