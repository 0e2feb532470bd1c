"""Random streams that depend on nothing but a namespace and integer keys.

Every random draw of the synthetic world comes from `generator`, so a picture or a truth record can be recomputed in
any process, in any order, and two namespaces never share a person.
"""

from enum import IntEnum
from typing import Final

import numpy as np

POPULATION_SIZE: Final = 1 << 40
"""How many identity seeds each population has."""

GROUP_SIZE: Final = 1 << 20
"""How many people one group of a population has at most."""


class Population(IntEnum):
    """Groups of people that never overlap; the value is the high part of the identity seed."""

    TRAINING = 0
    VALIDATION = 1
    PASSERS_BY = 2
    WATCHLIST = 3


class ValidationGroups(IntEnum):
    """First group of the validation population for each use; the seed is added, so seeds below `SEEDS` do not meet."""

    LINEAR_PROBES = 1 << 17
    CHOICE_PROBES = 2 << 17
    CHOICE_GALLERY = 3 << 17
    TRAINING_LOG = 4 << 17
    OPERATING_POINT = 5 << 17
    CEILINGS = 6 << 17


SEEDS: Final = 1 << 17
"""Seeds below this have groups of the validation population of their own."""


class Purpose(IntEnum):
    """What a random stream is for; streams of different purposes are independent."""

    IDENTITY = 1
    LOOK = 2
    VIEW = 3
    ENROLMENT = 4
    BACKDROP = 5
    PASSES = 6
    GRAIN = 7
    TRAINING = 8
    WEATHER = 9


def person_seed(population: Population, index: int) -> int:
    """Return the identity seed of person `index` of a population.

    Raises ValueError if `index` is outside 0 … POPULATION_SIZE - 1.
    """
    if not 0 <= index < POPULATION_SIZE:
        raise ValueError(f"person index {index} is outside 0 … {POPULATION_SIZE - 1}")
    return int(population) * POPULATION_SIZE + index


def group(population: Population, number: int, count: int) -> tuple[int, ...]:
    """Return `count` identity seeds of group `number` (say a run's seed); groups below 2**20 do not overlap."""
    if not 0 < count <= GROUP_SIZE:
        raise ValueError(f"a group has 1 … {GROUP_SIZE} people, not {count}")
    first = (number % (POPULATION_SIZE // GROUP_SIZE)) * GROUP_SIZE
    return tuple(person_seed(population, first + i) for i in range(count))


def population_of(seed: int) -> Population:
    """Return the population that an identity seed belongs to; raise ValueError if it belongs to none."""
    return Population(seed // POPULATION_SIZE)


def entry_id(seed: int) -> str:
    """Return the watchlist entry id of a person."""
    return f"{population_of(seed).name.lower().replace('_', '-')}-{seed % POPULATION_SIZE:06d}"


def text_key(text: str) -> int:
    """Return a 64-bit key of a text, the same in every process (FNV-1a)."""
    key = 0xCBF29CE484222325
    for byte in text.encode():
        key = ((key ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return key


def generator(purpose: Purpose, *keys: int) -> np.random.Generator:
    """Return the random stream of a purpose and its non-negative keys (Philox, counter-based)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([int(purpose), *keys])))
