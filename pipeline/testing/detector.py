"""A detector that finds the faces of `pipeline.testing.pictures`."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Detections
from pipeline.testing.pictures import face_mask

LANDMARKS: Final = np.array([(0.3, 0.35), (0.7, 0.35), (0.5, 0.55), (0.35, 0.75), (0.65, 0.75)], np.float32)
"""float32[5,2]: where the landmarks lie in a face's box, as fractions of its sides."""
SMALLEST_PIXELS: Final = 4


class FakeDetector:
    """Implements `pipeline.ports.Detector`; larger faces have higher scores."""

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """See the port; faces that touch one another are found as one."""
        return [_detections(image) for image in images]


def _detections(image: NDArray[np.uint8]) -> Detections:
    boxes = sorted(_boxes(face_mask(image)), key=lambda box: (-(box[2] - box[0]), box))
    array = np.array(boxes, np.float32).reshape(-1, 4)
    sides = array[:, 2:] - array[:, :2]
    landmarks = array[:, None, :2] + LANDMARKS[None] * sides[:, None, :]
    scores = sides[:, 0] / (sides[:, 0] + 1.0)
    return Detections(array, landmarks.astype(np.float32), scores.astype(np.float32))


def _boxes(mask: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """(x0, y0, x1, y1) of each patch of set pixels: cut at empty columns, then at empty rows, then once more."""
    return [
        (x0 + u0, y0, x0 + u1, y1)
        for x0, x1 in _spans(np.asarray(mask.any(axis=0)))
        for y0, y1 in _spans(np.asarray(mask[:, x0:x1].any(axis=1)))
        for u0, u1 in _spans(np.asarray(mask[y0:y1, x0:x1].any(axis=0)))
    ]


def _spans(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First (inclusive) and end (exclusive) of each stretch of set pixels that is long enough to be a face."""
    steps = np.flatnonzero(np.diff(np.concatenate(([False], line, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(steps[::2], steps[1::2], strict=True) if b - a >= SMALLEST_PIXELS]
