"""The frames that every round shows, and what a run without a fault finds in each: made once, kept in the user's cache.

A *showing* is the recording played once, under camera ids of its own. So every showing has passes of its own, with the
same frames and therefore the same scores. It is shorter than a cool-down by more than a camera holds a frame back.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import cv2
import msgspec
import numpy as np

from loadtest.faults_oracle import MARGIN
from loadtest.stream import JPEG_QUALITY
from pipeline.local.artifacts import cache_folder
from pipeline.records import WatchlistEntry
from pipeline.runtime.enrolment_cache import generator_digest
from pipeline.synthetic.seeds import Population, group
from pipeline.synthetic.street import Street, StreetSpec
from pipeline.vision.align import align
from pipeline.vision.decode import decode_jpeg
from pipeline.vision.eyes import load_eyes
from pipeline.vision.forward import Precision

CAMERAS: Final = 8
FPS: Final = 2.0
SECONDS: Final = 20.0
FRAMES: Final = round(SECONDS * FPS)
"""Of each camera in a showing."""
PEOPLE: Final = 60
"""On the watchlist."""
LISTED_SHARE: Final = 0.8
"""Of the people who walk past."""
DENSITY: Final = 20.0
"""People per minute."""
PRECISION: Final[Precision] = "int8"
SKIPPED: Final = 5.0
"""Seconds of a street that are left out at its begin, when few people are in sight."""


class Picture(msgspec.Struct, frozen=True):
    """One frame of the recording."""

    jpeg: bytes
    faces: int
    """As many as the detector finds."""
    scores: Mapping[str, float]
    """The best score of every entry that comes within twice the margin of the threshold."""


class Recording(msgspec.Struct, frozen=True):
    """All frames of all cameras, and the threshold that the networks came with."""

    threshold: float
    cameras: Sequence[Sequence[Picture]]


def recording(seed: int, entries: Sequence[WatchlistEntry]) -> Recording:
    """The recording of a seed, whose watchlist `entries` are; from the cache if this generator has made it before."""
    scene = f"{CAMERAS}x{FRAMES}-{DENSITY:g}-{LISTED_SHARE:g}-{len(entries)}-{PRECISION}"
    name = f"{generator_digest()}-{seed}-{scene}.msgpack"
    file = cache_folder() / "faults" / name
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.msgpack.decode(file.read_bytes(), type=Recording)
    made = _made(seed, entries)
    _keep(file, msgspec.msgpack.encode(made))
    return made


def _made(seed: int, entries: Sequence[WatchlistEntry]) -> Recording:
    eyes = load_eyes(threads=len(os.sched_getaffinity(0)), precision=PRECISION)
    gallery = np.stack([entry.template for entry in entries])
    names = [entry.entry for entry in entries]
    threshold = eyes.operating_point.threshold
    cameras = []
    for number in range(CAMERAS):
        jpegs = _filmed(seed, number)
        images = [decode_jpeg(jpeg) for jpeg in jpegs]
        found = eyes.detector.detect(images)
        pictures = []
        for jpeg, image, each in zip(jpegs, images, found, strict=True):
            scores: dict[str, float] = {}
            if len(each.boxes):
                best = (eyes.embedder.embed(align(image, each.landmarks)) @ gallery.T).max(axis=0)
                scores = {names[i]: float(best[i]) for i in np.flatnonzero(best >= threshold - 2 * MARGIN)}
            pictures.append(Picture(jpeg, len(each.boxes), scores))
        cameras.append(pictures)
    return Recording(threshold, cameras)


def _filmed(seed: int, camera: int) -> list[bytes]:
    """The frames of a camera past which many people of the watchlist walk."""
    listed = group(Population.WATCHLIST, seed, PEOPLE)
    spec = StreetSpec(
        seed=seed,
        camera=f"faults/cam-{camera}",
        fps=FPS,
        listed=listed,
        listed_share=LISTED_SHARE,
        density=DENSITY,
        difficulty="studio",
    )
    street = Street(spec)
    first = round(SKIPPED * FPS)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    return [cv2.imencode(".jpg", street.render(index), quality)[1].tobytes() for index in range(first, first + FRAMES)]


def _keep(file: Path, content: bytes) -> None:
    """Keep it for the next time; a cache that cannot be written is no reason to stop."""
    part = file.with_suffix(f".part-{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(file)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
