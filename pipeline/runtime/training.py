"""The job behind ``lamppost train``: train a network on people who do not exist, and write what can be shipped.

The folder gets ``detector.safetensors`` and ``embedder.safetensors``, and ``manifest.json`` with their SHA-256 sums and
the operating point, which is chosen after the embedder with the detector of the folder, or the shipped one if the
folder has none. Checkpoints lie in ``checkpoints/``: the same command after an interruption goes on where it was.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import torch
from safetensors.torch import load, save
from torch import Tensor

from pipeline.errors import ResourceError
from pipeline.runtime.settings import Settings
from pipeline.vision.detector import TorchDetector
from pipeline.vision.embedder import TorchEmbedder
from pipeline.vision.training.detector import DetectorPlan, train_detector
from pipeline.vision.training.embedder import EmbedderPlan, train_embedder
from pipeline.vision.training.operating_point import choose_operating_point
from pipeline.vision.weights import (
    VERSION_DIGITS,
    Manifest,
    NetworkName,
    OperatingPoint,
    ShippedFile,
    load_manifest,
    load_weights,
    shipped_folder,
)

CHECKPOINTS: Final = "checkpoints"
MANIFEST: Final = "manifest.json"

Progress = Callable[[str, int, int, float], None]
"""Called with the stage, the steps done, all steps, and the latest loss (NaN where there is none)."""


class Plan(NamedTuple):
    """What to train and where to; None takes the plan that the shipped weights were made with."""

    network: NetworkName
    folder: Path
    seed: int = 0
    steps: int | None = None
    processes: int = 1
    """Processes that render the training scenes."""


def train(settings: Settings, plan: Plan, progress: Progress) -> Path:
    """Train one network and return the file of its weights.

    Raises ResourceError if the folder can't be written, ModelError if its checkpoint belongs to another plan.
    """
    device = _device(settings.vision.device)
    if settings.vision.threads is not None:
        torch.set_num_threads(settings.vision.threads)
    tensors = _trained(plan, device, progress)
    try:
        path = _write_weights(plan.folder, plan.network, tensors)
        if plan.network == "embedder":
            point = _operating_point(plan, tensors, path, device, progress)
            _write_manifest(plan.folder, point)
        elif (plan.folder / MANIFEST).exists():
            _write_manifest(plan.folder, load_manifest(plan.folder).operating_point)
    except OSError as error:
        raise ResourceError(
            f"{plan.folder} cannot be written ({error.strerror or error}); choose another with --out"
        ) from error
    return path


def _device(wanted: str) -> str:
    return wanted if wanted != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def _trained(plan: Plan, device: str, progress: Progress) -> dict[str, Tensor]:
    checkpoints = plan.folder / CHECKPOINTS
    steps = {} if plan.steps is None else {"steps": plan.steps}
    if plan.network == "detector":
        return train_detector(
            DetectorPlan(seed=plan.seed, **steps), checkpoints, device=device, processes=plan.processes,
            progress=progress,
        )  # fmt: skip
    return train_embedder(
        EmbedderPlan(seed=plan.seed, **steps), checkpoints, device=device, processes=plan.processes, progress=progress
    )


def _write_weights(folder: Path, network: NetworkName, tensors: dict[str, Tensor]) -> Path:
    path = folder / f"{network}.safetensors"
    path.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    return path


def _operating_point(
    plan: Plan, embedder: dict[str, Tensor], path: Path, device: str, progress: Progress
) -> OperatingPoint:
    detector = plan.folder / "detector.safetensors"
    tensors = load(detector.read_bytes()) if detector.exists() else load_weights("detector").tensors
    return choose_operating_point(
        TorchDetector(tensors, device=device),
        TorchEmbedder(embedder, _digest(path)[:VERSION_DIGITS], device=device),
        seed=plan.seed,
        progress=lambda done, total: progress("threshold", done, total, float("nan")),
    )


def _write_manifest(folder: Path, point: OperatingPoint) -> None:
    detector = folder / "detector.safetensors"
    if not detector.exists():
        detector.write_bytes((shipped_folder() / load_manifest().detector.file).read_bytes())
    files = {
        name: ShippedFile(f"{name}.safetensors", _digest(folder / f"{name}.safetensors"))
        for name in ("detector", "embedder")
    }
    manifest = Manifest(files["detector"], files["embedder"], point)
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
