"""Training of the detector on crops of synthetic street frames."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.synthetic.seeds import Population
from pipeline.vision.decode import decode_jpeg
from pipeline.vision.detector import LARGEST_LOG_SIZE, SIZE_SCALE
from pipeline.vision.forward import to_input
from pipeline.vision.networks import DETECTOR_OUTPUTS, DETECTOR_STRIDE, DetectorNetwork
from pipeline.vision.training.checkpoints import load_checkpoint, save_checkpoint
from pipeline.vision.training.log import TrainingLog
from pipeline.vision.training.scenes import Scene, render_scenes
from pipeline.vision.training.schedule import learning_rate

CROP_WIDTH: Final = 320
CROP_HEIGHT: Final = 192
BATCH: Final = 16
CROPS_PER_SCENE: Final = 2
PREFETCH: Final = 3
VALIDATION_STREETS: Final = 8
VALIDATION_BATCHES: Final = 16
SMALLEST_FACE: Final = 7.0
"""Height at the detector's input, in pixels, below which a face is not a target."""
CENTRE: Final = 0.2
"""Cells so near a face's centre, ÷ its size, are to find it."""
RIM: Final = 0.35
"""Cells of a face between `CENTRE` and here take no loss; those beyond are background.

A wider rim leaves what lies between two heads untaught, and boxes appear there.
"""
MIRRORED_LANDMARKS: Final = (1, 0, 2, 4, 3)
NEAR_SHARE: Final = 0.25
"""Share of the crops that show their faces nearer than a street does.

No street has a face of 50 px at the detector's input, other places do, and a network takes a size that it never saw for
a part of a face.
"""
SCALES: Final = (0.75, 1.3)
NEAR_SCALES: Final = (1.3, 2.6)
"""Of the detector's input, in most crops and in the near ones."""
TURNED: Final = 0.25
"""A face whose eyes are nearer to each other than this share of its height is turned by some 45° or more."""
TURNED_WEIGHT: Final = 3.0
"""Few faces are turned so far, and the ends of their boxes are the hardest to tell."""
EXCUSED: Final = 0.6
"""The same for a face that need not be found: its cells up to here take no loss."""


@dataclass(frozen=True, slots=True)
class DetectorPlan:
    """What determines the weights."""

    seed: int = 0
    streets: int = 800
    steps: int = 18_000
    learning_rate: float = 2e-3
    weight_decay: float = 0.01


Progress = Callable[[str, int, int, float], None]
"""Called with the stage, the steps done, all steps, and the latest loss (NaN while rendering)."""


def targets(
    boxes: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    height: int = CROP_HEIGHT,
    width: int = CROP_WIDTH,
) -> NDArray[np.float32]:
    """Return what the network should say, float32[15, height/8, width/8], of faces of which the farthest comes first.

    Where two share a cell it is the nearer one's.

    Channel 0 is 1 at a face's centre, 0 on background and -1 where no loss is taken; the others hold the centre's
    offset in cells, the logarithm of width and height ÷ 16 px, and the landmarks' offsets ÷ 16 px from the cell's
    centre, at cells whose channel 0 is 1.
    """
    rows, columns = height // DETECTOR_STRIDE, width // DETECTOR_STRIDE
    out = np.zeros((DETECTOR_OUTPUTS, rows, columns), np.float32)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) * DETECTOR_STRIDE + DETECTOR_STRIDE / 2
    for box, points, must in zip(boxes, landmarks, wanted, strict=True):
        centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        inside = 0 <= centre[0] < width and 0 <= centre[1] < height
        distance = np.maximum(np.abs(x - centre[0]) / size[0], np.abs(y - centre[1]) / size[1])
        near = np.hypot(x - centre[0], y - centre[1])
        asked = must and inside and size[1] >= SMALLEST_FACE
        out[0][(distance < (RIM if asked else EXCUSED)) & (out[0] == 0)] = -1.0
        if not asked:
            continue
        here = (distance < CENTRE) | (near <= near.min() + 1e-3)
        out[0][here] = 1.0
        out[1][here], out[2][here] = (centre[0] - x[here]) / 8.0, (centre[1] - y[here]) / 8.0
        out[3][here], out[4][here] = np.log(size[0] / SIZE_SCALE), np.log(size[1] / SIZE_SCALE)
        for k, (px, py) in enumerate(points):
            out[5 + 2 * k][here] = (px - x[here]) / SIZE_SCALE
            out[6 + 2 * k][here] = (py - y[here]) / SIZE_SCALE
    return out


def overlap_with_truth(raw: Tensor, target: Tensor) -> Tensor:
    """Return the intersection over union of each cell's box with the one it should say, float[N, rows, columns]."""
    sizes, true_sizes = raw[:, 3:5].clamp(max=LARGEST_LOG_SIZE).exp() * SIZE_SCALE, target[:, 3:5].exp() * SIZE_SCALE
    centres, true_centres = raw[:, 1:3] * DETECTOR_STRIDE, target[:, 1:3] * DETECTOR_STRIDE
    ends = torch.minimum(centres + sizes / 2, true_centres + true_sizes / 2)
    starts = torch.maximum(centres - sizes / 2, true_centres - true_sizes / 2)
    shared = (ends - starts).clamp(min=0.0).prod(dim=1)
    return shared / (sizes.prod(dim=1) + true_sizes.prod(dim=1) - shared)


def detector_loss(raw: Tensor, target: Tensor) -> Tensor:
    """Quality focal loss (Li et al. 2020, β = 2) of the score plus size-normalised L1 of box and landmarks.

    The score of a face's cell is to be the overlap of its box with the truth, so that a box between two heads, or of
    half of one, scores low.
    """
    score, truth = raw[:, 0], target[:, 0]
    positive, counted = (truth == 1).float(), (truth >= 0).float()
    quality = overlap_with_truth(raw.detach(), target) * positive
    weight = (quality - torch.sigmoid(score)).abs() ** 2
    entropy = functional.binary_cross_entropy_with_logits(score, quality, reduction="none")
    cells = positive.sum().clamp(min=1.0)
    scores = (weight * entropy * counted).sum() / cells
    relative = torch.exp(-target[:, 4:5]).clamp(max=2.5)
    error = functional.smooth_l1_loss(raw[:, 1:], target[:, 1:], reduction="none", beta=0.01)
    scale = torch.cat([relative * 0.5, relative * 0.5, torch.ones_like(relative), torch.ones_like(relative)], 1)
    boxes = (error[:, :4] * scale * positive[:, None]).sum() / cells
    points = (error[:, 4:] * relative * positive[:, None]).sum() / cells
    return 2.0 * scores + 0.5 * boxes + 1.5 * points


def mirrored(
    crop: NDArray[np.uint8], boxes: NDArray[np.float32], points: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Return a crop, its boxes and landmarks with left and right exchanged; a left eye becomes a right one."""
    width = crop.shape[1]
    turned = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
    swapped = points[:, MIRRORED_LANDMARKS].copy()
    swapped[..., 0] = width - swapped[..., 0]
    return np.ascontiguousarray(crop[:, ::-1]), turned, swapped


def _face_to_crop(scene: Scene, rng: np.random.Generator) -> int:
    """Return the number of a random face; one that is turned far comes `TURNED_WEIGHT` times as often."""
    between_eyes = np.abs(scene.landmarks[:, 1, 0] - scene.landmarks[:, 0, 0])
    turned = scene.wanted & (between_eyes < TURNED * (scene.boxes[:, 3] - scene.boxes[:, 1]))
    weights = np.where(turned, TURNED_WEIGHT, 1.0)
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def _crop(
    scene: Scene, full: NDArray[np.uint8], half: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a random crop, around a face three times of four, at a random scale, mirrored or not, with its targets.

    `half` is the frame as the detector sees it, `full` as it came: near crops would be blurred without it.
    """
    near = rng.random() < NEAR_SHARE
    scale = float(np.exp(rng.uniform(*np.log(NEAR_SCALES if near else SCALES))))
    if len(scene.boxes) and rng.random() < 0.75:
        box = scene.boxes[_face_to_crop(scene, rng)] / 2
        centre = (box[:2] + box[2:]) / 2 * scale
        left = centre[0] - rng.uniform(0.1, 0.9) * CROP_WIDTH
        top = centre[1] - rng.uniform(0.1, 0.9) * CROP_HEIGHT
    else:
        left = rng.uniform(0, max(1.0, half.shape[1] * scale - CROP_WIDTH))
        top = rng.uniform(0, max(1.0, half.shape[0] * scale - CROP_HEIGHT))
    factor = scale / 2 if near else scale
    matrix = np.array([[factor, 0, -left], [0, factor, -top]])
    cut = cv2.warpAffine(full if near else half, matrix, (CROP_WIDTH, CROP_HEIGHT), flags=cv2.INTER_LINEAR)
    gain = rng.uniform(0.7, 1.35) * rng.uniform(0.93, 1.07, 3)
    crop: NDArray[np.uint8] = np.clip(cut * gain, 0, 255).astype(np.uint8)
    offset = np.array([left, top], np.float32)
    boxes = (scene.boxes / 2 * scale - np.tile(offset, 2)).astype(np.float32)
    points = (scene.landmarks / 2 * scale - offset).astype(np.float32)
    if rng.random() < 0.5:
        crop, boxes, points = mirrored(crop, boxes, points)
    return crop, targets(boxes, points, scene.wanted)


def _batch(scenes: Sequence[Scene], plan: DetectorPlan, step: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the crops and targets of a step, a function of the plan's seed and the step."""
    rng = np.random.default_rng([plan.seed, step])
    crops, wanted = [], []
    for index in rng.integers(len(scenes), size=BATCH // CROPS_PER_SCENE):
        scene = scenes[int(index)]
        full = decode_jpeg(scene.jpeg)
        half = np.empty((full.shape[0] // 2, full.shape[1] // 2, 3), np.uint8)
        half[:] = cv2.resize(full, half.shape[1::-1], interpolation=cv2.INTER_AREA)
        for _ in range(CROPS_PER_SCENE):
            crop, target = _crop(scene, full, half, rng)
            crops.append(crop)
            wanted.append(target)
    return np.stack(crops), np.stack(wanted)


def _batches(
    scenes: Sequence[Scene], plan: DetectorPlan, first: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Yield crops and targets from a first step on; two threads prepare ahead of the network."""
    with ThreadPoolExecutor(2) as pool:
        ahead = [pool.submit(_batch, scenes, plan, step) for step in range(first, min(first + PREFETCH, plan.steps))]
        for step in range(first, plan.steps):
            batch = ahead.pop(0).result()
            if step + PREFETCH < plan.steps:
                ahead.append(pool.submit(_batch, scenes, plan, step + PREFETCH))
            yield batch


def train_detector(
    plan: DetectorPlan,
    folder: Path,
    *,
    device: str = "cpu",
    processes: int = 1,
    checkpoint_every: int = 250,
    progress: Progress,
) -> dict[str, Tensor]:
    """Train a detector on synthetic streets and return its state dict.

    `folder` keeps a checkpoint: the same call after an interruption renders again and goes on where it was, and after
    the end it returns at once. A file beside it, `detector.csv`, gets the loss in training and on streets of the
    validation population.
    """
    folder.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(plan.seed)
    where = torch.device(device)
    network = DetectorNetwork().to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this pair
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    checkpoint = folder / "detector.pt"
    saved: dict[str, Any] | None = load_checkpoint(checkpoint, plan)
    first = 0
    if saved is not None:
        first = int(saved["step"])
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
    if first == plan.steps:
        return _weights_of(network)

    def rendered(stage: str, strangers: Population, streets: int) -> list[Scene]:
        def step(done: int, total: int) -> None:
            progress(stage, done, total, float("nan"))

        return render_scenes(strangers, streets, plan.seed, processes, step)

    scenes = rendered("render", Population.TRAINING, plan.streets)
    others = rendered("render validation", Population.VALIDATION, VALIDATION_STREETS)
    log = TrainingLog(checkpoint.with_suffix(".csv"), "validation_loss")
    log.begin(first)
    for step, (crops, target) in enumerate(_batches(scenes, plan, first), first):
        rate = learning_rate(step, plan.steps, plan.learning_rate)
        for group in optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(where.type, torch.bfloat16):
            raw = network(to_input(crops, where))
        loss = detector_loss(raw.float(), torch.from_numpy(target).to(where))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
        optimiser.step()
        log.add(float(loss.detach()))
        progress("train", step + 1, plan.steps, float(loss.detach()))
        if (step + 1) % checkpoint_every == 0 or step + 1 == plan.steps:
            log.write(step + 1, rate, validation_loss(network, others, plan, where))
            state = {"step": step + 1, "network": network.state_dict(), "optimiser": optimiser.state_dict()}
            save_checkpoint(checkpoint, plan, state)
    return _weights_of(network)


def _weights_of(network: DetectorNetwork) -> dict[str, Tensor]:
    return {name: tensor.cpu() for name, tensor in network.eval().state_dict().items()}


@torch.no_grad()
def validation_loss(
    network: DetectorNetwork, scenes: Sequence[Scene], plan: DetectorPlan, device: torch.device
) -> float:
    """Return the mean loss of some batches, the same each time; the network comes back in training mode."""
    network.eval()
    losses = []
    for number in range(VALIDATION_BATCHES):
        crops, target = _batch(scenes, plan, plan.steps + number)
        raw = network(to_input(crops, device))
        losses.append(float(detector_loss(raw, torch.from_numpy(target).to(device))))
    network.train()
    return float(np.mean(losses))
