"""Identities come from seeds alone, and populations never share a person."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.synthetic.identities import identity, skin_colour
from pipeline.synthetic.seeds import (
    GROUP_SIZE,
    POPULATION_SIZE,
    SEEDS,
    Population,
    ValidationGroups,
    entry_id,
    group,
    person_seed,
    population_of,
)


def test_same_seed_gives_same_person() -> None:
    """Two computations of one seed agree in every trait."""
    first = identity(person_seed(Population.TRAINING, 7))
    identity.cache_clear()
    second = identity(person_seed(Population.TRAINING, 7))
    assert first is not second
    assert first.shape == second.shape
    assert np.array_equal(first.pigment, second.pigment)
    assert np.array_equal(first.moles, second.moles)


def test_uses_of_the_validation_population_do_not_meet() -> None:
    """Whom a threshold is chosen on is in no gallery, no training's log and no other use, for every seed."""
    firsts = sorted(ValidationGroups)
    assert all(later - earlier >= SEEDS for earlier, later in pairwise(firsts))
    assert firsts[-1] + SEEDS <= POPULATION_SIZE // GROUP_SIZE


def test_different_seeds_give_different_people() -> None:
    """Neighbouring seeds share no trait of the head's shape."""
    one, other = identity(person_seed(Population.WATCHLIST, 0)), identity(person_seed(Population.WATCHLIST, 1))
    clipped_to_zero = 0.0
    assert all(p != q or p == clipped_to_zero for p, q in zip(one.shape, other.shape, strict=True))


def test_populations_share_no_seed() -> None:
    """The last person of a population comes before the first of the next."""
    populations = list(Population)
    for earlier, later in pairwise(populations):
        assert person_seed(earlier, POPULATION_SIZE - 1) < person_seed(later, 0)


@pytest.mark.parametrize("population", list(Population))
def test_population_is_read_back_from_seed(population: Population) -> None:
    """A seed tells which population it belongs to."""
    assert population_of(person_seed(population, 123)) is population


def test_person_outside_population_is_refused() -> None:
    """An index beyond the population raises."""
    with pytest.raises(ValueError, match="outside"):
        person_seed(Population.TRAINING, POPULATION_SIZE)


def test_groups_of_different_numbers_are_disjoint() -> None:
    """Watchlists of two runs' seeds share nobody."""
    assert not set(group(Population.WATCHLIST, 1, 500)) & set(group(Population.WATCHLIST, 2, 500))


def test_too_large_group_is_refused() -> None:
    """A group that would reach into the next raises."""
    with pytest.raises(ValueError, match="group"):
        group(Population.WATCHLIST, 0, GROUP_SIZE + 1)


def test_entry_ids_are_unique_within_a_group() -> None:
    """Each person of a watchlist has an entry id of their own."""
    people = group(Population.WATCHLIST, 3, 300)
    assert len({entry_id(seed) for seed in people}) == 300


def test_skin_gets_darker_along_the_monk_scale() -> None:
    """Tone 9 is darker than tone 5, which is darker than tone 0."""
    light, middle, dark = (skin_colour(tone).sum() for tone in (0.0, 5.0, 9.0))
    assert light > middle > dark
