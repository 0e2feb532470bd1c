"""The detector: frames of any size to boxes, landmarks and scores."""

from collections.abc import Mapping, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import ModelError
from pipeline.records import Detections
from pipeline.vision.forward import Forward, Precision
from pipeline.vision.networks import DETECTOR_STRIDE, DetectorNetwork
from pipeline.vision.precision import detector_forward

INPUT_WIDTH: Final = 640
INPUT_HEIGHT: Final = 368
"""A 16:9 frame takes 360 rows; the network needs a multiple of 16."""
CHUNK: Final = 8
"""Frames per pass of the network; bounds memory."""
SIZE_SCALE: Final = 16.0
LARGEST_LOG_SIZE: Final = 4.0
LEAST_SCORE: Final = 0.5
"""Where a box of the shipped detector counts from, chosen on streets of the validation seeds."""


class TorchDetector:
    """Finds faces in frames from any mix of cameras; it holds no state between calls.

    Each frame is scaled to fit 640×360 (never up), so faces of about 10 px and more at that size are found.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        *,
        device: str = "cpu",
        precision: Precision = "fp32",
        least_score: float = LEAST_SCORE,
        overlap: float = 0.4,
        ceilings: Mapping[str, float] | None = None,
    ) -> None:
        """Build the network from a state dict; `ceilings` of its activations are needed for int8.

        Faces below `least_score` (0 … 1) are dropped, and of two boxes whose intersection over union is above
        `overlap` the better stays. Raises ModelError if the weights do not fit the network, or the precision cannot be
        had.
        """
        network = DetectorNetwork()
        try:
            network.load_state_dict(dict(weights))
        except RuntimeError as error:
            raise ModelError(f"the detector's weights do not fit the network: {error}") from error
        self._forward: Forward = detector_forward(network, device, precision, ceilings)
        self.precision: Final = precision
        """The arithmetic that it computes in."""
        self._least_logit = float(np.log(least_score / (1.0 - least_score)))
        self._overlap = overlap

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Return the faces of each BGR image, uint8[H, W, 3], in pixels of that image, the best score first."""
        found: list[Detections] = []
        for first in range(0, len(images), CHUNK):
            chunk = images[first : first + CHUNK]
            pixels = np.zeros((len(chunk), INPUT_HEIGHT, INPUT_WIDTH, 3), np.uint8)
            scales = [letterbox(image, out) for image, out in zip(chunk, pixels, strict=True)]
            raw = self._forward(pixels).numpy()
            found += [
                self._faces(cells, scale, image.shape) for cells, scale, image in zip(raw, scales, chunk, strict=True)
            ]
        return found

    def _faces(self, cells: NDArray[np.float32], scale: float, shape: tuple[int, ...]) -> Detections:
        """Return the faces in one image's output, float32[15, rows, columns]."""
        rows, columns = np.nonzero(cells[0] > self._least_logit)
        values = cells[:, rows, columns].T
        origin = (np.stack([columns, rows], axis=1) + 0.5).astype(np.float32) * DETECTOR_STRIDE
        centre = origin + values[:, 1:3] * DETECTOR_STRIDE
        half = np.exp(np.minimum(values[:, 3:5], LARGEST_LOG_SIZE)) * (SIZE_SCALE / 2)
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        landmarks = origin[:, None] + values[:, 5:].reshape(-1, 5, 2) * SIZE_SCALE
        keep = best_boxes(boxes, values[:, 0], self._overlap)
        boxes = boxes[keep] / scale
        boxes[:, 0::2] = boxes[:, 0::2].clip(0, shape[1])
        boxes[:, 1::2] = boxes[:, 1::2].clip(0, shape[0])
        return Detections(
            boxes=boxes.astype(np.float32),
            landmarks=(landmarks[keep] / scale).astype(np.float32),
            scores=(1.0 / (1.0 + np.exp(-values[keep, 0]))).astype(np.float32),
        )


def letterbox(
    image: NDArray[np.uint8], out: NDArray[np.uint8], within: tuple[int, int] = (INPUT_WIDTH, INPUT_HEIGHT - 8)
) -> float:
    """Scale an image down to fit into the top left of `out`, and return the factor (1 if it fits already).

    It takes at most the width and height `within`.
    """
    height, width = image.shape[:2]
    scale: float = min(1.0, within[0] / width, within[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    target = out[: size[1], : size[0]]
    if scale == 1.0:
        target[:] = image
    else:
        target[:] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return scale


def best_boxes(boxes: NDArray[np.float32], scores: NDArray[np.float32], overlap: float) -> NDArray[np.intp]:
    """Return the indices of the boxes, float32[N, 4], that no better one overlaps by more than `overlap`."""
    order = np.argsort(-scores, kind="stable")
    area = np.maximum(0.0, boxes[:, 2] - boxes[:, 0]) * np.maximum(0.0, boxes[:, 3] - boxes[:, 1])
    keep = []
    while len(order):
        best, rest = order[0], order[1:]
        keep.append(best)
        sides = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        shared = np.maximum(0.0, sides).prod(axis=1)
        union = np.maximum(area[best] + area[rest] - shared, 1e-9)
        order = rest[shared / union <= overlap]
    return np.array(keep, dtype=np.intp)
