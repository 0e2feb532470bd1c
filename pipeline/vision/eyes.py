"""Both shipped networks and their threshold, ready to use."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

import numpy as np

from pipeline.errors import ModelError
from pipeline.synthetic.faces import CROP_SIZE
from pipeline.vision.detector import INPUT_HEIGHT, INPUT_WIDTH, LEAST_SCORE, TorchDetector
from pipeline.vision.embedder import TorchEmbedder
from pipeline.vision.forward import Precision
from pipeline.vision.precision import clock_of, probe
from pipeline.vision.threads import use_threads
from pipeline.vision.weights import NetworkName, OperatingPoint, load_manifest, load_weights

PROBE_CROPS: Final = 8

Network = TypeVar("Network", TorchDetector, TorchEmbedder)


@dataclass(frozen=True, slots=True)
class Eyes:
    """A detector, an embedder and the operating point they were tested at."""

    detector: TorchDetector
    embedder: TorchEmbedder
    operating_point: OperatingPoint


def load_eyes(
    device: str = "cpu",
    threads: int = 1,
    precision: Precision | Literal["auto"] = "fp32",
    folder: Path | None = None,
) -> Eyes:
    """Load the shipped networks, or those of a folder that training wrote, onto a torch device.

    With `auto` a short probe chooses for each network, on a CPU in less than 1.5 s. Sets the number of threads for the
    whole process. Raises ModelError if the weights are missing or corrupt, or the precision cannot be had.
    """
    use_threads(threads)
    return Eyes(
        detector=load_detector(device, precision, folder),
        embedder=load_embedder(device, precision, folder),
        operating_point=load_manifest(folder).operating_point,
    )


def load_detector(
    device: str,
    precision: Precision | Literal["auto"],
    folder: Path | None = None,
    least_score: float = LEAST_SCORE,
) -> TorchDetector:
    """Load the detector alone, as `load_eyes` does; `least_score` is where a box counts from."""
    weights = load_weights("detector", folder)
    picture = np.random.default_rng(0).integers(0, 255, (INPUT_HEIGHT - 8, INPUT_WIDTH, 3), dtype=np.uint8)
    return _chosen(
        "detector",
        lambda one: TorchDetector(
            weights.tensors, device=device, precision=one, ceilings=weights.ceilings, least_score=least_score
        ),
        lambda each: each.detect([picture]),
        device,
        precision,
    )


def load_embedder(device: str, precision: Precision | Literal["auto"], folder: Path | None = None) -> TorchEmbedder:
    """Load the embedder alone, as `load_eyes` does."""
    weights = load_weights("embedder", folder)
    crops = np.random.default_rng(0).integers(0, 255, (PROBE_CROPS, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)

    def made(one: Precision) -> TorchEmbedder:
        return TorchEmbedder(
            weights.tensors, weights.version, device=device, precision=one, backbone=weights.backbone,
            ceilings=weights.ceilings,
        )  # fmt: skip

    return _chosen("embedder", made, lambda each: each.embed(crops), device, precision)


def _chosen(
    name: NetworkName,
    made: Callable[[Precision], Network],
    work: Callable[[Network], object],
    device: str,
    precision: Precision | Literal["auto"],
) -> Network:
    """Return the network in the precision asked for, or in the one that a probe finds best."""
    if precision != "auto":
        return made(precision)
    candidates: dict[Precision, Network] = {"fp32": made("fp32"), "bf16": made("bf16")}
    with suppress(ModelError):  # a GPU, a processor without the instructions, or weights without ceilings are no error
        candidates["int8"] = made("int8")
    return candidates[probe(name, candidates, work, clock_of(device))]
