"""The job behind ``lamppost train``: train a network on people who do not exist, and write what can be shipped.

The folder gets ``detector.safetensors`` and ``embedder.safetensors``, and ``manifest.json`` with their SHA-256 sums,
the ceilings of the activations that int8 needs, and the operating point, which belongs to the pair and is chosen anew
after either. The network that was not trained is the folder's, or the shipped one if the folder has none. Checkpoints
lie in ``checkpoints/``: the same command after an interruption goes on where it was. Beside them a CSV file per network
has a row per checkpoint: loss, learning rate, and a figure on the validation population.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from pipeline.errors import ResourceError, SettingsError
from pipeline.runtime.gpus import torch_device
from pipeline.runtime.settings import Settings
from pipeline.runtime.trained_folder import NetworkFile, kept_file, trained_file, write_pair
from pipeline.synthetic.seeds import SEEDS
from pipeline.vision.backbones import Backbone, backbone_network
from pipeline.vision.detector import TorchDetector
from pipeline.vision.embedder import TorchEmbedder
from pipeline.vision.forward import Precision
from pipeline.vision.networks import DetectorNetwork, EmbedderNetwork
from pipeline.vision.threads import use_threads
from pipeline.vision.training.ceilings import detector_ceilings, embedder_ceilings
from pipeline.vision.training.detector import DetectorPlan, train_detector
from pipeline.vision.training.distillation import DistillationPlan, distil_embedder
from pipeline.vision.training.embedder import LEARNING_RATES, EmbedderPlan, train_embedder
from pipeline.vision.training.operating_point import choose_operating_point
from pipeline.vision.weights import Manifest, NetworkName, OperatingPoint, load_weights

CHECKPOINTS: Final = "checkpoints"

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

    The folder's networks and threshold are replaced together at the end; an interruption before leaves them as they
    were, and loses nothing that a checkpoint holds. Raises SettingsError if anything but the large embedder is to be
    distilled, if the seed has no people of its own or if a GPU is wanted that is not there, ResourceError if the folder
    can't be written, ModelError if its checkpoint belongs to another plan or its other network cannot be used.
    """
    if plan.distil and plan.network != "embedder":
        raise SettingsError("--distil is for the embedder: leave it out, or train the embedder")
    if plan.distil and plan.backbone != "resnet50":
        raise SettingsError(f"--distil teaches no {plan.backbone} network: leave it out, or add --backbone resnet50")
    if not 0 <= plan.seed < SEEDS:
        raise SettingsError(f"--seed is {plan.seed}: use 0 to {SEEDS - 1}")
    device = torch_device(settings.vision.device, torch.cuda.device_count)
    if settings.vision.threads is not None:
        use_threads(settings.vision.threads)
    with _writing(plan.folder):
        (plan.folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    other: NetworkName = "detector" if plan.network == "embedder" else "embedder"
    kept_file(plan.folder, other)  # one that cannot be used is said before hours of training
    backbone: Backbone = plan.backbone if plan.network == "embedder" else "compact"
    made = trained_file(plan.network, backbone, _trained(plan, device, progress))
    files = {plan.network: made, other: kept_file(plan.folder, other)}
    detector = _with_detector_ceilings(files["detector"])
    seeing = TorchDetector(detector.tensors(), device=device)
    embedder = _with_embedder_ceilings(files["embedder"], seeing, plan.seed)
    point = _operating_point(plan, embedder, seeing, device, progress)
    with _writing(plan.folder):
        write_pair(plan.folder, detector, embedder, Manifest(detector.part(), embedder.part(), point))
    return plan.folder / made.name


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"{folder} cannot be written ({error.strerror or error}); choose another with --out"
        ) from error


def _trained(plan: Plan, device: str, progress: Progress) -> dict[str, Tensor]:
    checkpoints = plan.folder / CHECKPOINTS
    steps: dict[str, int] = {} if plan.steps is None else {"steps": plan.steps}
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
        EmbedderPlan(seed=plan.seed, learning_rate=LEARNING_RATES[plan.backbone], **steps), checkpoints,
        device=device, processes=plan.processes, backbone=plan.backbone, progress=progress,
    )  # fmt: skip


def _teacher() -> tuple[nn.Module, str]:
    """The shipped embedder and its version."""
    weights = load_weights("embedder")
    network = backbone_network(weights.backbone)
    network.load_state_dict(weights.tensors)
    return network, weights.version


def _with_detector_ceilings(file: NetworkFile) -> NetworkFile:
    if file.ceilings is not None:
        return file
    network = DetectorNetwork()
    network.load_state_dict(file.tensors())
    return file._replace(ceilings=detector_ceilings(network))


def _with_embedder_ceilings(file: NetworkFile, detector: TorchDetector, seed: int) -> NetworkFile:
    if file.ceilings is not None:
        return file
    network = EmbedderNetwork()
    network.load_state_dict(file.tensors())
    return file._replace(ceilings=embedder_ceilings(network, detector, seed))


def _operating_point(
    plan: Plan, embedder: NetworkFile, detector: TorchDetector, device: str, progress: Progress
) -> OperatingPoint:
    backbone = embedder.backbone
    large = backbone != "compact"  # a face costs it 50 times as much, and would take an hour in all without a GPU
    precision: Precision = "bf16" if large else "fp32"
    return choose_operating_point(
        detector,
        TorchEmbedder(embedder.tensors(), embedder.version, device=device, precision=precision, backbone=backbone),
        faces=10_000 if large else 25_000,
        seed=plan.seed,
        command=_command(plan),
        progress=lambda done, total: progress("threshold", done, total, float("nan")),
    )


def _command(plan: Plan) -> str:
    """The command that makes the weights again; folder and processes change nothing of them."""
    backbone = "" if plan.backbone == "compact" else f" --backbone {plan.backbone}"
    distil = " --distil" if plan.distil else ""
    steps = "" if plan.steps is None else f" --steps {plan.steps}"
    return f"lamppost train {plan.network}{backbone}{distil} --seed {plan.seed}{steps}"
