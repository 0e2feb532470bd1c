"""The threshold that ships with the weights, chosen on streets and people that are in no training and no test."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.ports import Detector, Embedder
from pipeline.synthetic.seeds import Population, group
from pipeline.synthetic.street import Street, StreetSpec
from pipeline.vision.enrolment import enrol
from pipeline.vision.trials import Stopwatch, enrolment_crops, watch
from pipeline.vision.weights import OperatingPoint

GALLERY: Final = 200
DENSITY: Final = 45.0
FIRST_STREET: Final = 1 << 41
"""Street seeds of the choice; load tests and demos use small ones."""


def choose_operating_point(
    detector: Detector,
    embedder: Embedder,
    *,
    target_fpir: float = 1 / 4000,
    faces: int = 40_000,
    seed: int = 0,
    progress: Callable[[int, int], None],
) -> OperatingPoint:
    """Return the threshold that `target_fpir` of the unlisted faces reach, with a watchlist of 200.

    The gallery and the passers-by are of the validation population, in groups of their own.
    """
    listed = group(Population.VALIDATION, (1 << 19) + seed, GALLERY)
    gallery = np.stack([enrol(embedder, crops) for crops in enrolment_crops(listed)])
    best: list[NDArray[np.float32]] = []  # per street, the greatest score of each unlisted face
    count = street_number = 0
    while count < faces:
        spec = StreetSpec(
            seed=FIRST_STREET + seed,
            camera=f"choice/{street_number}",
            density=DENSITY,
            strangers=Population.VALIDATION,
        )
        trial = watch(Street(spec), detector, embedder, Stopwatch())
        best.append((trial.templates @ gallery.T).max(axis=1, initial=-1.0))
        count += len(best[-1])
        street_number += 1
        progress(min(count, faces), faces)
    scores = np.sort(np.concatenate(best))[::-1]
    allowed = int(target_fpir * len(scores))
    threshold = float(scores[allowed]) + 1e-4
    return OperatingPoint(
        threshold=round(threshold, 4),
        gallery=GALLERY,
        target_fpir=target_fpir,
        faces=len(scores),
        command=f"lamppost train embedder --seed {seed}",
    )
