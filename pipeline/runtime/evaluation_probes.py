"""The people and pictures of an evaluation: who is searched, where, and who is never both chosen and tested on."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog.difficulties import DIFFICULTIES
from pipeline.runtime.evaluation_workers import FacesTask, StreetTask, Workers, look_at_faces, watch_street
from pipeline.synthetic.seeds import GROUP_SIZE, Population, Purpose, ValidationGroups, generator, group, text_key
from pipeline.synthetic.street import StreetSpec
from pipeline.vision.forward import Precision
from pipeline.vision.networks import EMBEDDING
from pipeline.vision.probing import Probes, StreetProbes, together

CHOICE_STREETS: Final = 1 << 42
"""Street seeds of the choice; training, the shipped threshold and tests have others."""
PICTURES_A_TASK: Final = 40
LISTED_SHARE: Final = 0.3
LISTED_A_STREET: Final = 64
"""Gallery people who may pass along one street."""

Progress = Callable[[str, int, int], None]
"""Told the stage, what is done and of how much."""


class Trial(NamedTuple):
    """All probes of one difficulty."""

    choice: Probes
    non_mated: Probes
    mated: Probes
    on_no_face: NDArray[np.float32]
    beyond: int


class Wanted(NamedTuple):
    """How many searches to choose on and to test on, of people of a gallery of this size (the smallest), and how."""

    difficulty: str
    choice_searches: int
    searches: int
    gallery: int
    seed: int
    """Of people and pictures."""
    precision: Precision
    weights: Path | None = None
    """Folder of the networks that training wrote; None: the shipped ones."""


def faces(wanted: Wanted, workers: Workers, progress: Progress) -> Trial:
    """Return single pictures: as many non-mated as mated ones, and those of the choice.

    Non-mated searches are of different people. So are mated ones up to the size of the (smallest) gallery; beyond it
    its people come again, with another picture.
    """
    seed, searches = wanted.seed, wanted.searches
    listed = group(Population.WATCHLIST, seed, wanted.gallery)
    again = [(listed[i % wanted.gallery], i // wanted.gallery) for i in range(searches)]
    kinds = {
        "to choose on": _once(Population.VALIDATION, ValidationGroups.CHOICE_PROBES + seed, wanted.choice_searches),
        "non-mated": _once(Population.PASSERS_BY, seed, searches),
        "mated": again,
    }
    choice, non_mated, mated = (
        _faces(wanted, people, workers, partial(progress, f"{wanted.difficulty}: faces, {kind}"))
        for kind, people in kinds.items()
    )
    return Trial(choice, non_mated, mated, np.empty((0, EMBEDDING), np.float32), 0)


def _once(population: Population, number: int, searches: int) -> list[tuple[int, int]]:
    return [(person, 0) for person in group(population, number, min(searches, GROUP_SIZE))]


def _faces(
    wanted: Wanted, people: list[tuple[int, int]], workers: Workers, progress: Callable[[int, int], None]
) -> Probes:
    tasks = [
        FacesTask(
            tuple(people[first : first + PICTURES_A_TASK]),
            wanted.difficulty,
            wanted.seed,
            wanted.precision,
            wanted.weights,
        )
        for first in range(0, len(people), PICTURES_A_TASK)
    ]
    parts: list[Probes] = []
    done = 0
    for part in workers.in_order(look_at_faces, tasks):
        parts.append(part)
        done += len(part)
        progress(done, len(people))
    return together(parts)


def passes(wanted: Wanted, workers: Workers, progress: Progress) -> Trial:
    """Return whole streets, until there are enough passes of unlisted people for the choice and for the test.

    Mated passes come as they do: three in ten passes are by people of the (smallest) gallery.
    """
    chosen, tested = (
        _streets(tasks, searches, workers, partial(progress, f"{wanted.difficulty}: passes, {kind}"))
        for kind, searches, tasks in (
            ("to choose on", wanted.choice_searches, _choice_streets(wanted)),
            ("tested", wanted.searches, _test_streets(wanted)),
        )
    )
    return Trial(
        together([each.non_mated for each in chosen]),
        together([each.non_mated for each in tested]),
        together([each.mated for each in tested]),
        np.concatenate([each.on_no_face for each in tested]),
        sum(each.beyond for each in tested),
    )


def _streets(
    tasks: Iterator[StreetTask], searches: int, workers: Workers, progress: Callable[[int, int], None]
) -> list[StreetProbes]:
    """Watch streets, in their order, until so many unlisted people have passed."""
    seen: list[StreetProbes] = []
    done = 0
    for street in workers.in_order(watch_street, tasks):
        seen.append(street)
        done += len(street.non_mated)
        progress(min(done, searches), searches)
        if done >= searches:
            break
    return seen


def _choice_streets(wanted: Wanted) -> Iterator[StreetTask]:
    for number in count():
        camera = f"evaluation/{wanted.difficulty}/{number}"
        spec = StreetSpec(
            seed=CHOICE_STREETS + wanted.seed,
            camera=camera,
            difficulty=wanted.difficulty,
            strangers=Population.VALIDATION,
        )
        yield StreetTask(spec, _quality(spec), wanted.precision, wanted.weights)


def _test_streets(wanted: Wanted) -> Iterator[StreetTask]:
    people = group(Population.WATCHLIST, wanted.seed, wanted.gallery)
    for number in count():
        camera = f"evaluation/{wanted.difficulty}/{number}"
        rng = generator(Purpose.PASSES, wanted.seed, text_key(camera), 1)
        rows = rng.choice(wanted.gallery, size=min(wanted.gallery, LISTED_A_STREET), replace=False)
        spec = StreetSpec(
            seed=wanted.seed,
            camera=camera,
            difficulty=wanted.difficulty,
            listed=tuple(people[row] for row in rows),
            listed_share=LISTED_SHARE,
        )
        yield StreetTask(spec, _quality(spec), wanted.precision, wanted.weights)


def _quality(spec: StreetSpec) -> int:
    """Return the JPEG quality of a street's camera, one of the difficulty's."""
    low, high = DIFFICULTIES[spec.difficulty].jpeg_quality
    return int(generator(Purpose.VIEW, spec.seed, text_key(spec.camera)).integers(low, high + 1))
