"""How well the shipped detector finds faces: `python -m loadtest.detector --seed A` (no Kafka, no Ray).

Held-out streets go through JPEG and the detector. A face counts if it is turned by at most 75° and at most 60 % hidden;
it is found if a box lies on it with an intersection over union of 0.5. A box on any other head (turned away, cut by the
frame, almost hidden) is neither right nor wrong; every further box is false. Sizes are heights in pixels at the
detector's input, half of those in a frame of 1280×720. Intervals are 95 % Clopper-Pearson; faces of one pass are not
independent, so they are a guide.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import torch
import typer
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from loadtest.command import writable
from pipeline.catalog.difficulties import DIFFICULTIES
from pipeline.evaluation.intervals import clopper_pearson
from pipeline.ports import Detector
from pipeline.records import Detections
from pipeline.synthetic.street import FaceTruth, Street, StreetSpec
from pipeline.vision.decode import decode_jpeg
from pipeline.vision.detector import INPUT_HEIGHT, INPUT_WIDTH, LEAST_SCORE
from pipeline.vision.eyes import load_detector
from pipeline.vision.trials import encode

STEEPEST_YAW: Final = 75.0
MOST_HIDDEN: Final = 0.6
LEAST_OVERLAP: Final = 0.5
LEAST_HEIGHT: Final = 16.0
TARGET_RECALL: Final = 0.95
TARGET_FALSE: Final = 0.01
"""False boxes per frame."""
EDGES: Final = (8.0, 10.0, 12.0, 14.0, 16.0, 20.0, 24.0, 32.0, 48.0, 64.0, 200.0)
"""Bounds of the sizes in the plot, in pixels at the detector's input."""
BATCH: Final = 8

Box = tuple[float, float, float, float]


def counts(face: FaceTruth) -> bool:
    """Whether a face has to be found, its size apart."""
    return abs(face.yaw) <= STEEPEST_YAW and face.occlusion <= MOST_HIDDEN


def overlaps(box: NDArray[np.float32], others: Sequence[Box]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return intersection over union, and intersection over the box's own area, with each of `others`, float64[N]."""
    boxes = np.array(others, np.float64).reshape(-1, 4)
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.maximum(0.0, sides).prod(axis=1)
    own = float(max(1e-9, (box[2] - box[0]) * (box[3] - box[1])))
    union = own + (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) - shared
    return shared / np.maximum(union, 1e-9), shared / own


def judge(found: Detections, faces: Sequence[FaceTruth], others: Sequence[Box]) -> tuple[list[bool], int]:
    """Return for each of `faces` whether it was found, and how many boxes lie on no head.

    Boxes, the best score first, take the free face they overlap most; `others` are heads that need not be found.
    """
    hit = [False] * len(faces)
    false = 0
    for box in found.boxes:
        union, _ = overlaps(box, [face.box for face in faces])
        union = np.where(hit, 0.0, union)
        if len(union) and union.max() >= LEAST_OVERLAP:
            hit[int(union.argmax())] = True
            continue
        excused = [face.box for face in faces if not counts(face)] + list(others)
        _, own = overlaps(box, excused)
        false += not (len(own) and own.max() >= LEAST_OVERLAP)
    return hit, false


@dataclass(slots=True)
class Tally:
    """Sizes, float[N] in pixels at the detector's input, of the faces that count, whether each was found, and boxes."""

    sizes: list[float] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    frames: int = 0
    false_boxes: int = 0
    landmark_errors: list[float] = field(default_factory=list)
    """Mean distance of the five landmarks from the truth ÷ the distance between the eyes' and the mouth's middle."""


def from_score(found: Detections, score: float) -> Detections:
    """Return the boxes from `score` on, the best first; a box has only ever suppressed those with lower scores."""
    kept = int(np.count_nonzero(found.scores >= score))
    return Detections(found.boxes[:kept], found.landmarks[:kept], found.scores[:kept])


def watch(street: Street, detector: Detector, tallies: Mapping[float, Tally], quality: int) -> None:
    """Add one loop of a street to the tally of each score that a box may count from."""
    scale = min(1.0, INPUT_WIDTH / street.spec.width, (INPUT_HEIGHT - 8) / street.spec.height)
    for first in range(0, street.frames_per_loop, BATCH):
        indices = range(first, min(first + BATCH, street.frames_per_loop))
        images = [decode_jpeg(encode(street.render(index), quality)) for index in indices]
        for index, detections in zip(indices, detector.detect(images), strict=True):
            faces = street.truth(index).faces
            for score, tally in tallies.items():
                kept = from_score(detections, score)
                hit, false = judge(kept, faces, street.turned_away(index))
                tally.frames += 1
                tally.false_boxes += false
                for face, was in zip(faces, hit, strict=True):
                    if counts(face):
                        tally.sizes.append(face.height * scale)
                        tally.found.append(was)
                        if was:
                            tally.landmark_errors.append(landmark_error(face, kept))


def landmark_error(face: FaceTruth, found: Detections) -> float:
    """Return the mean landmark error of the box that lies best on a face, relative to the face's size."""
    best = max(range(len(found.boxes)), key=lambda k: float(overlaps(found.boxes[k], [face.box])[0][0]))
    truth = np.array(face.landmarks)
    size = float(np.linalg.norm(truth[:2].mean(axis=0) - truth[3:].mean(axis=0)))
    return float(np.linalg.norm(found.landmarks[best] - truth, axis=1).mean() / max(size, 1e-6))


def by_size(tally: Tally) -> list[dict[str, Any]]:
    """Return recall per bin of `EDGES`."""
    sizes, found = np.array(tally.sizes), np.array(tally.found, bool)
    rows = []
    for low, high in pairwise(EDGES):
        inside = (sizes >= low) & (sizes < high)
        rows.append({"from": low, "to": high, **rate(int(found[inside].sum()), int(inside.sum()))})
    return rows


def rate(events: int, trials: int) -> dict[str, Any]:
    """Return a rate with its counts and 95 % interval; without trials there is none."""
    if trials == 0:
        return {"events": 0, "trials": 0, "rate": None, "low": 0.0, "high": 1.0}
    low, high = clopper_pearson(events, trials)
    return {"events": events, "trials": trials, "rate": events / trials, "low": low, "high": high}


def report(tally: Tally, difficulty: str, seeds: list[int], score: float) -> dict[str, Any]:
    """Return all figures as plain values."""
    large = np.array(tally.sizes) >= LEAST_HEIGHT
    recall = rate(int(np.array(tally.found, bool)[large].sum()), int(large.sum()))
    false = tally.false_boxes / max(1, tally.frames)
    return {
        "ok": recall["rate"] is not None and recall["rate"] >= TARGET_RECALL and false <= TARGET_FALSE,
        "difficulty": difficulty,
        "least_score": score,
        "seeds": seeds,
        "recall": recall,
        "frames": tally.frames,
        "false_boxes": tally.false_boxes,
        "false_boxes_per_frame": false,
        "landmark_error_median": float(np.median(tally.landmark_errors)) if tally.landmark_errors else None,
        "by_size": by_size(tally),
    }


def plot(reports: Sequence[dict[str, Any]]) -> Figure:
    """Return recall over size, with intervals, one line per difficulty."""
    figure = Figure(figsize=(8, 4.6), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    for each in reports:
        rows = [row for row in each["by_size"] if row["trials"]]
        middle = [float(np.sqrt(row["from"] * row["to"])) for row in rows]
        recall = np.array([row["rate"] for row in rows])
        spread = np.array([[row["rate"] - row["low"], row["high"] - row["rate"]] for row in rows]).T
        label = f"{each['difficulty']}, from {each['least_score']:g}"
        axes.errorbar(middle, recall, yerr=spread, marker="o", capsize=3, label=label)
    axes.axvline(LEAST_HEIGHT, color="#9aa5b1", linewidth=1.0)
    axes.axhline(TARGET_RECALL, color="#9aa5b1", linewidth=1.0)
    axes.set(
        xscale="log", xlabel="face height at the detector's input, px", ylabel="recall at IoU 0.5", ylim=(0.0, 1.02)
    )
    axes.set_xticks(EDGES[:-1], [f"{edge:g}" for edge in EDGES[:-1]], minor=False)
    axes.minorticks_off()
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    return figure


def show(reports: Sequence[dict[str, Any]], console: Console) -> None:
    """Print the figures as a table."""
    table = Table(
        "difficulty",
        "from score",
        "recall, 16 px and taller",
        "95 % interval",
        "found / faces",
        "false boxes per frame",
    )
    for each in reports:
        recall = each["recall"]
        table.add_row(
            each["difficulty"],
            f"{each['least_score']:g}",
            "-" if recall["rate"] is None else f"{recall['rate']:.2%}",
            f"{recall['low']:.2%} to {recall['high']:.2%}",
            f"{recall['events']} / {recall['trials']}",
            f"{each['false_boxes_per_frame']:.4f} ({each['false_boxes']} in {each['frames']})",
        )
    console.print(table)


def run(
    difficulty: str,
    seeds: Sequence[int],
    streets: int,
    detector: Detector,
    *,
    scores: Sequence[float],
    step: Callable[[], None],
) -> dict[float, Tally]:
    """Watch so many streets of each seed; a tally for each of the scores that a box may count from."""
    tallies = {score: Tally() for score in scores}
    place = DIFFICULTIES[difficulty]
    for seed in seeds:
        for number in range(streets):
            spec = StreetSpec(seed=seed, camera=f"detector/{number}", fps=1.0, difficulty=difficulty)
            watch(Street(spec), detector, tallies, sum(place.jpeg_quality) // 2)
            step()
    return tallies


def main(  # noqa: PLR0917  # its parameters are its options
    seed: Annotated[list[int], typer.Option(help="Seed of the streets; may be given more than once.")],
    difficulty: Annotated[list[str] | None, typer.Option(help="One of the difficulties; all if left out.")] = None,
    streets: Annotated[int, typer.Option(min=1, help="Streets per seed and difficulty, 36 frames each.")] = 20,
    score: Annotated[
        list[float] | None, typer.Option(min=0.05, max=0.95, help="Where a box counts from; several for a comparison.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Folder that `lamppost train` wrote; the shipped one.")] = None,
    json: Annotated[Path | None, typer.Option(callback=writable, help="Write the figures there.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the plot of recall by size there.")] = None,
) -> None:
    """Measure recall by size and false boxes of the detector on streets it has not seen."""
    console = Console()
    names = difficulty or list(DIFFICULTIES)
    if unknown := [name for name in names if name not in DIFFICULTIES]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(DIFFICULTIES)}", param_hint="--difficulty")
    torch.set_num_threads(1)
    scores = sorted(set(score or [LEAST_SCORE]))
    detector = load_detector("cpu", "fp32", weights, least_score=scores[0])
    reports = []
    with Progress(console=console, transient=True) as bar:
        for name in names:
            task = bar.add_task(name, total=len(seed) * streets)
            found = run(name, seed, streets, detector, scores=scores, step=lambda: bar.advance(task))  # noqa: B023  # called before the next turn
            reports += [report(tally, name, list(seed), least) for least, tally in found.items()]
    show(reports, console)
    if json:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(reports), indent=2))
    if png:
        plot(reports).savefig(png)


if __name__ == "__main__":
    typer.run(main)
