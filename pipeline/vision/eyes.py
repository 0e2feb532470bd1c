"""Both shipped networks and their threshold, ready to use."""

from dataclasses import dataclass
from importlib.resources.abc import Traversable

import torch

from pipeline.vision.detector import TorchDetector
from pipeline.vision.embedder import Precision, TorchEmbedder
from pipeline.vision.weights import OperatingPoint, load_manifest, load_weights


@dataclass(frozen=True, slots=True)
class Eyes:
    """A detector, an embedder and the operating point they were tested at."""

    detector: TorchDetector
    embedder: TorchEmbedder
    operating_point: OperatingPoint


def load_eyes(
    device: str = "cpu", threads: int = 1, precision: Precision = "fp32", folder: Traversable | None = None
) -> Eyes:
    """Load the shipped networks, or those of a folder that training wrote, onto a torch device.

    Sets the number of torch's threads for the whole process. Raises ModelError if the weights are missing or corrupt.
    """
    torch.set_num_threads(threads)
    embedder = load_weights("embedder", folder)
    return Eyes(
        detector=TorchDetector(load_weights("detector", folder).tensors, device=device, precision=precision),
        embedder=TorchEmbedder(embedder.tensors, embedder.version, device=device, precision=precision),
        operating_point=load_manifest(folder).operating_point,
    )
