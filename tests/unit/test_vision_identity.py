"""What identifies is the face: the shipped embedder is not taken in by what people wear."""

from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.catalog.difficulties import STREET, STUDIO
from pipeline.synthetic.backdrop import backdrop
from pipeline.synthetic.faces import head
from pipeline.synthetic.identities import Identity, identity
from pipeline.synthetic.looks import Look, look
from pipeline.synthetic.seeds import Population, Purpose, generator, group
from pipeline.synthetic.views import single_view
from pipeline.vision.align import align
from pipeline.vision.embedder import TorchEmbedder
from pipeline.vision.enrolment import enrol
from pipeline.vision.eyes import load_embedder
from pipeline.vision.trials import enrolment_crops

PEOPLE: Final = 60
WORN: Final = ("glasses", "cap", "headscarf")
LEAST: Final = 0.95
"""Share of the people of whom that holds."""
GROUP: Final = 91
"""Of the validation population; no training saw them."""


@pytest.fixture(scope="module")
def embedder() -> TorchEmbedder:
    """The shipped one."""
    return load_embedder("cpu", "fp32")


@pytest.fixture(scope="module")
def people() -> list[Identity]:
    """People in the order of their skin tone, so that neighbours look alike."""
    return sorted((identity(seed) for seed in group(Population.VALIDATION, GROUP, PEOPLE)), key=lambda each: each.tone)


def _dressed(person: Identity, number: int) -> Look:
    """Return a look with glasses, a cap or a headscarf in turn."""
    today = look(person, generator(Purpose.LOOK, GROUP, number), STREET)
    worn = {name: float(number % len(WORN) == k) for k, name in enumerate(WORN)}
    return replace(today, style=today.style._replace(**worn))


def _crop(person: Identity, today: Look, number: int) -> NDArray[np.uint8]:
    """Return a studio picture of a person with a look, uint8[112, 112, 3]."""
    rng = generator(Purpose.VIEW, GROUP, number)
    image, landmarks = single_view(head(person, today), rng, [backdrop(rng, 480, 854)], STUDIO)
    crop: NDArray[np.uint8] = align(image, landmarks[None])[0]
    return crop


def test_people_who_swap_what_they_wear_are_still_themselves(embedder: TorchEmbedder, people: list[Identity]) -> None:
    """In hair, beard, glasses and hat of a neighbour of the same tone they are nearer to their own entry, which shows
    them without, than to that neighbour in the same things."""
    looks = [_dressed(person, number) for number, person in enumerate(people)]
    entries = np.stack([enrol(embedder, enrolment_crops((person.seed,))[0]) for person in people])
    dressed = [(a, b) for a, b in pairwise(range(PEOPLE))] + [(b, a) for a, b in pairwise(range(PEOPLE))]
    borrowed = embedder.embed(np.stack([_crop(people[a], looks[b], 2 * n) for n, (a, b) in enumerate(dressed)]))
    owners = embedder.embed(np.stack([_crop(people[b], looks[b], 2 * n + 1) for n, (_, b) in enumerate(dressed)]))
    own = (borrowed * entries[[wearer for wearer, _ in dressed]]).sum(axis=1)
    others = (borrowed * owners).sum(axis=1)
    assert np.mean(own > others) >= LEAST
