"""Frames for the load tests: the pictures of one street, dealt out to many cameras."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import cv2

from pipeline.core.sharding import partition_of
from pipeline.records import Frame
from pipeline.synthetic.street import Street, StreetSpec

PICTURES: Final = 96
JPEG_QUALITY: Final = 90


def pictures(seed: int) -> list[bytes]:
    """Encoded frames from the busy middle of a street's loop."""
    street = Street(StreetSpec(seed=seed, camera="tax/cam-000", fps=4.0))
    indices = islice(range(street.frames_per_loop // 6, street.frames_per_loop), PICTURES)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    return [cv2.imencode(".jpg", street.render(index), quality)[1].tobytes() for index in indices]


@dataclass
class Stream:
    """Deals pictures out to the cameras of a district in turn, frame after frame."""

    district: str
    jpegs: Sequence[bytes]
    cameras: int
    partitions: int
    dealt: int = 0
    """Frames so far."""
    _camera_run: str = field(init=False)

    def __post_init__(self) -> None:
        """Begin a camera run."""
        self._camera_run = f"{self.district}-{time.time_ns()}"

    def next(self) -> tuple[int, Frame]:
        """Return the next frame, captured now, and its partition."""
        number, camera = self.dealt, self.dealt % self.cameras
        self.dealt += 1
        jpeg = self.jpegs[number % len(self.jpegs)]
        sequence = number // self.cameras
        frame = Frame(f"{self.district}/cam-{camera:03d}", self._camera_run, sequence, time.time_ns(), jpeg)
        return partition_of(camera, self.partitions), frame
