"""Ceilings of the activations that int8 needs, found on streets and people that are in no training and no test."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog.difficulties import DIFFICULTIES
from pipeline.ports import Detector
from pipeline.synthetic.seeds import Population, ValidationGroups, group
from pipeline.synthetic.street import Street, StreetSpec
from pipeline.vision.activations import activation_ceilings
from pipeline.vision.align import align
from pipeline.vision.decode import decode_jpeg
from pipeline.vision.detector import INPUT_HEIGHT, INPUT_WIDTH, letterbox
from pipeline.vision.networks import DetectorNetwork, EmbedderNetwork, fuse
from pipeline.vision.training.operating_point import DENSITY, FIRST_STREET
from pipeline.vision.trials import encode, enrolment_crops

PICTURES_PER_STREET: Final = 12
ENROLLED: Final = 20
JPEG_QUALITY: Final = 87


def street_pictures(seed: int) -> list[NDArray[np.uint8]]:
    """Return frames uint8[720, 1280, 3] of a street of each difficulty, as a camera would have sent them."""
    pictures = []
    for difficulty in DIFFICULTIES:
        spec = StreetSpec(
            seed=FIRST_STREET + seed,
            camera=f"ceilings/{difficulty}",
            fps=1.0,
            density=DENSITY,
            strangers=Population.VALIDATION,
            difficulty=difficulty,
        )
        street = Street(spec)
        indices = np.linspace(0, street.frames_per_loop - 1, PICTURES_PER_STREET).astype(int)
        pictures += [decode_jpeg(encode(street.render(int(index)), JPEG_QUALITY)) for index in indices]
    return pictures


def detector_ceilings(network: DetectorNetwork, seed: int = 0) -> dict[str, float]:
    """Return the ceilings of a trained detector, by the names of its convolutions."""
    return activation_ceilings(fuse(network.eval()), _letterboxed(street_pictures(seed)))


def embedder_ceilings(network: EmbedderNetwork, detector: Detector, seed: int = 0) -> dict[str, float]:
    """Return the ceilings of a trained compact embedder, on crops of streets and of enrolment pictures."""
    pictures = street_pictures(seed)
    streets = [align(p, found.landmarks) for p, found in zip(pictures, detector.detect(pictures), strict=True)]
    people = group(Population.VALIDATION, ValidationGroups.CEILINGS + seed, ENROLLED)
    studio = enrolment_crops(people)
    crops = np.concatenate([*streets, studio.reshape(-1, *studio.shape[2:])])
    return activation_ceilings(fuse(network.eval()), (crops[i : i + 32] for i in range(0, len(crops), 32)))


def _letterboxed(pictures: list[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    for picture in pictures:
        pixels = np.zeros((1, INPUT_HEIGHT, INPUT_WIDTH, 3), np.uint8)
        letterbox(picture, pixels[0])
        yield pixels
