"""The job behind ``lamppost train``: train a network on people who do not exist, and write what can be shipped.

The folder gets ``detector.safetensors`` and ``embedder.safetensors``, and ``manifest.json`` with their SHA-256 sums,
the ceilings of the activations that int8 needs, and the operating point, which belongs to the pair and is chosen anew
after either. The network that was not trained is the folder's, or the shipped one if the folder has none. Checkpoints
lie in ``checkpoints/``: the same command after an interruption goes on where it was. Beside them a CSV file per network
has a row per checkpoint: loss, learning rate, and a figure on the validation population.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from pipeline.errors import ResourceError, SettingsError
from pipeline.runtime.settings import Settings
from pipeline.vision.backbones import Backbone, backbone_network
from pipeline.vision.detector import TorchDetector
from pipeline.vision.embedder import TorchEmbedder
from pipeline.vision.networks import DetectorNetwork, EmbedderNetwork
from pipeline.vision.shipped import shipped_folder
from pipeline.vision.threads import use_threads
from pipeline.vision.training.ceilings import detector_ceilings, embedder_ceilings
from pipeline.vision.training.detector import DetectorPlan, train_detector
from pipeline.vision.training.distillation import DistillationPlan, distil_embedder
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
    backbone: Backbone = "compact"
    """The embedder's network; a detector has one alone."""
    distil: bool = False
    """Whether the large embedder learns to repeat the templates of the shipped one."""


def train(settings: Settings, plan: Plan, progress: Progress) -> Path:
    """Train one network and return the file of its weights.

    Raises SettingsError if anything but the large embedder is to be distilled, ResourceError if the folder can't be
    written, ModelError if its checkpoint belongs to another plan.
    """
    if plan.distil and plan.network != "embedder":
        raise SettingsError("--distil is for the embedder: leave it out, or train the embedder")
    if plan.distil and plan.backbone != "resnet50":
        raise SettingsError(f"--distil teaches no {plan.backbone} network: leave it out, or add --backbone resnet50")
    device = _device(settings.vision.device)
    if settings.vision.threads is not None:
        use_threads(settings.vision.threads)
    tensors = _trained(plan, device, progress)
    try:
        path = _write_weights(plan, tensors)
        detector_part = _detector_part(plan.folder)
        detector = _detector(plan.folder, device)
        if plan.network == "embedder":
            embedder_part = _shipped(path, plan.backbone, _embedder_ceilings(plan, tensors, detector))
        else:
            embedder_part = _embedder_part(plan.folder)
        point = _operating_point(plan, embedder_part, detector, device, progress)
        _write_manifest(plan.folder, Manifest(detector_part, embedder_part, point))
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
    if plan.distil:
        teacher, version = _teacher()
        chosen = DistillationPlan(version, seed=plan.seed)
        return distil_embedder(
            chosen if plan.steps is None else chosen.shortened(plan.steps), teacher, checkpoints, device=device,
            processes=plan.processes, backbone=plan.backbone, progress=progress,
        )  # fmt: skip
    return train_embedder(
        EmbedderPlan(seed=plan.seed, **steps), checkpoints, device=device, processes=plan.processes,
        backbone=plan.backbone, progress=progress,
    )  # fmt: skip


def _teacher() -> tuple[nn.Module, str]:
    """The shipped embedder and its version."""
    weights = load_weights("embedder")
    network = backbone_network(weights.backbone)
    network.load_state_dict(weights.tensors)
    return network, weights.version


def _write_weights(plan: Plan, tensors: dict[str, Tensor]) -> Path:
    """Write the state dict; the large backbone's in fp16, which halves the file."""
    path = plan.folder / f"{plan.network}.safetensors"
    half = plan.network == "embedder" and plan.backbone != "compact"
    kept = {name: each.half() if half and each.is_floating_point() else each for name, each in tensors.items()}
    path.write_bytes(save({name: tensor.contiguous() for name, tensor in kept.items()}))
    return path


def _detector(folder: Path, device: str) -> TorchDetector:
    return TorchDetector(load((folder / "detector.safetensors").read_bytes()), device=device)


def _operating_point(
    plan: Plan, embedder: ShippedFile, detector: TorchDetector, device: str, progress: Progress
) -> OperatingPoint:
    tensors = load((plan.folder / embedder.file).read_bytes())
    version, backbone = embedder.sha256[:VERSION_DIGITS], embedder.backbone
    large = backbone != "compact"  # a face costs it 50 times as much, and would take an hour in all without a GPU
    return choose_operating_point(
        detector,
        TorchEmbedder(tensors, version, device=device, precision="bf16" if large else "fp32", backbone=backbone),
        faces=10_000 if large else 25_000,
        seed=plan.seed,
        command=_command(plan),
        progress=lambda done, total: progress("threshold", done, total, float("nan")),
    )


def _command(plan: Plan) -> str:
    backbone = "" if plan.backbone == "compact" else f" --backbone {plan.backbone}"
    return f"lamppost train {plan.network}{backbone}{' --distil' if plan.distil else ''} --seed {plan.seed}"


def _embedder_ceilings(plan: Plan, tensors: dict[str, Tensor], detector: TorchDetector) -> dict[str, float]:
    if plan.backbone != "compact":
        return {}
    network = EmbedderNetwork()
    network.load_state_dict(tensors)
    return embedder_ceilings(network, detector, plan.seed)


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def _detector_part(folder: Path) -> ShippedFile:
    """What the manifest says of the folder's detector, which is the shipped one unless another was trained there."""
    path, shipped = folder / "detector.safetensors", load_manifest().detector
    if not path.exists():
        path.write_bytes((shipped_folder() / shipped.file).read_bytes())
    if _digest(path) == shipped.sha256 and shipped.ceilings:
        return shipped
    network = DetectorNetwork()
    network.load_state_dict(load(path.read_bytes()))
    return _shipped(path, "compact", detector_ceilings(network))


def _embedder_part(folder: Path) -> ShippedFile:
    """What a manifest says of the folder's embedder, which is the shipped one unless another was trained there."""
    if (folder / MANIFEST).exists() and (folder / load_manifest(folder).embedder.file).exists():
        return load_manifest(folder).embedder
    shipped = load_manifest().embedder
    (folder / shipped.file).write_bytes((shipped_folder() / shipped.file).read_bytes())
    return shipped


def _shipped(path: Path, backbone: Backbone, ceilings: dict[str, float]) -> ShippedFile:
    return ShippedFile(path.name, _digest(path), backbone, ceilings)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
