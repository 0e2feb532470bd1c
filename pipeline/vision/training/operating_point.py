"""The threshold that ships with the weights, chosen on streets and people that are in no training and no test."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.ports import Detector, Embedder
from pipeline.synthetic.seeds import Population, ValidationGroups, group
from pipeline.synthetic.street import Street, StreetSpec
from pipeline.vision.enrolment import enrol
from pipeline.vision.trials import Stopwatch, enrolment_crops, watch
from pipeline.vision.weights import OperatingPoint

GALLERY: Final = 200
GALLERIES: Final = 8
"""Watchlists that every face is held against: whom a list holds moves the rate more than which streets were seen."""
DENSITY: Final = 45.0
FIRST_STREET: Final = 1 << 41
"""Street seeds of the choice; load tests and demos use small ones."""


def choose_operating_point(
    detector: Detector,
    embedder: Embedder,
    *,
    target_fpir: float = 1 / 2500,
    faces: int = 25_000,
    seed: int = 0,
    command: str,
    progress: Callable[[int, int], None],
) -> OperatingPoint:
    """Return the threshold that `target_fpir` of the unlisted faces reach, with a watchlist of 200, on average over 8.

    The watchlists and the passers-by are of the validation population, in groups of their own.
    """
    listed = group(Population.VALIDATION, ValidationGroups.OPERATING_POINT + seed, GALLERY * GALLERIES)
    gallery = np.stack([enrol(embedder, enrolment_crops((person,))[0]) for person in listed])
    best: list[NDArray[np.float32]] = []  # per street, the greatest score of each unlisted face in each watchlist
    count = street_number = 0
    while count < faces:
        spec = StreetSpec(
            seed=FIRST_STREET + seed,
            camera=f"choice/{street_number}",
            density=DENSITY,
            strangers=Population.VALIDATION,
        )
        trial = watch(Street(spec), detector, embedder, Stopwatch())
        scores = (trial.templates @ gallery.T).reshape(len(trial.templates), GALLERIES, GALLERY)
        best.append(scores.max(axis=2).ravel())
        count += len(trial.templates)
        street_number += 1
        progress(min(count, faces), faces)
    ordered = np.sort(np.concatenate(best))[::-1]
    threshold = min(float(ordered[int(target_fpir * len(ordered))]) + 1e-4, 1.0)  # hardly trained, all faces look alike
    return OperatingPoint(
        threshold=round(threshold, 4),
        gallery=GALLERY,
        target_fpir=target_fpir,
        faces=count,
        command=command,
    )
