"""Trials: what the eyes make of a synthetic street, beside its ground truth. For choosing thresholds and measuring."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError
from pipeline.ports import Detector, Embedder
from pipeline.synthetic.faces import CROP_SIZE, enrolment_views
from pipeline.synthetic.identities import identity
from pipeline.synthetic.street import FaceTruth, PlantedPass, Street
from pipeline.vision.align import align
from pipeline.vision.decode import decode_jpeg

BATCH: Final = 8
ENROLMENT_PICTURES: Final = 6
LEAST_OVERLAP: Final = 0.35
"""Intersection over union above which a box lies on a face."""


@dataclass(slots=True)
class Stopwatch:
    """Seconds and items per stage, added up."""

    seconds: dict[str, float] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def timing(self, stage: str, items: int) -> Iterator[None]:
        """Add the time of a block to a stage."""
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
        self.items[stage] = self.items.get(stage, 0) + items

    def milliseconds(self) -> dict[str, float]:
        """Return milliseconds per item of each stage."""
        return {stage: 1e3 * self.seconds[stage] / max(1, self.items[stage]) for stage in self.seconds}


@dataclass(frozen=True, slots=True)
class Trial:
    """One loop of one street: per detection its template float32[N, d], crop uint8[N, 112, 112, 3] and truth.

    A detection that lies on no face has None as its truth. `missed` counts faces of 32 px and more that are at most a
    quarter hidden and turned by at most 60°, and were not found.
    """

    templates: NDArray[np.float32]
    crops: NDArray[np.uint8]
    truths: tuple[FaceTruth | None, ...]
    passes: tuple[PlantedPass, ...]
    frames: int
    wanted: int
    missed: int


def enrolment_crops(people: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the studio pictures of people, uint8[P, 6, 112, 112, 3]."""
    return np.stack([enrolment_views(identity(seed), ENROLMENT_PICTURES) for seed in people])


def match(boxes: NDArray[np.float32], faces: tuple[FaceTruth, ...]) -> list[FaceTruth | None]:
    """Return the face that each box, float32[N, 4], best first, lies on, each face at most once."""
    free = list(faces)
    out: list[FaceTruth | None] = []
    for box in boxes:
        best, most = None, LEAST_OVERLAP
        for face in free:
            shared = _overlap(box, face.box)
            if shared > most:
                best, most = face, shared
        out.append(best)
        if best is not None:
            free.remove(best)
    return out


def _overlap(box: NDArray[np.float32], other: tuple[float, float, float, float]) -> float:
    """Return the intersection over union of two boxes."""
    width = min(float(box[2]), other[2]) - max(float(box[0]), other[0])
    height = min(float(box[3]), other[3]) - max(float(box[1]), other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = float((box[2] - box[0]) * (box[3] - box[1])) + (other[2] - other[0]) * (other[3] - other[1])
    return shared / max(areas - shared, 1e-9)


def watch(street: Street, detector: Detector, embedder: Embedder, stopwatch: Stopwatch, *, quality: int = 87) -> Trial:
    """Run one loop of a street through JPEG, detector, alignment and embedder."""
    crops: list[NDArray[np.uint8]] = []
    templates: list[NDArray[np.float32]] = []
    truths: list[FaceTruth | None] = []
    wanted = missed = 0
    for first in range(0, street.frames_per_loop, BATCH):
        indices = range(first, min(first + BATCH, street.frames_per_loop))
        with stopwatch.timing("render", len(indices)):
            pictures = [street.render(index) for index in indices]
        with stopwatch.timing("encode", len(indices)):
            packets = [encode(picture, quality) for picture in pictures]
        with stopwatch.timing("decode", len(indices)):
            images = [decode_jpeg(packet) for packet in packets]
        with stopwatch.timing("detect", len(indices)):
            found = detector.detect(images)
        faces = sum(len(detections.scores) for detections in found)
        with stopwatch.timing("align", faces):
            aligned = [align(image, d.landmarks) for image, d in zip(images, found, strict=True)]
        batch = np.concatenate([np.empty((0, CROP_SIZE, CROP_SIZE, 3), np.uint8), *aligned])
        with stopwatch.timing("embed", faces):
            templates.append(embedder.embed(batch))
        crops.append(batch)
        for index, detections in zip(indices, found, strict=True):
            present = street.truth(index).faces
            matched = match(detections.boxes, present)
            truths += matched
            clear = [f for f in present if f.height >= 32 and f.occlusion <= 0.25 and abs(f.yaw) <= 60]
            hit = {f.pass_id for f in matched if f is not None}
            wanted += len(clear)
            missed += sum(f.pass_id not in hit for f in clear)
    passes = tuple(street.passes(0, street.frames_per_loop - 1))
    return Trial(
        np.concatenate(templates), np.concatenate(crops), tuple(truths), passes, street.frames_per_loop, wanted, missed
    )


def encode(picture: NDArray[np.uint8], quality: int) -> bytes:
    """Return a picture as JPEG bytes."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ModelError(f"a picture of shape {picture.shape} could not be encoded as JPEG")
    return bytes(data)
