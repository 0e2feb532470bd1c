"""Difficulties: data that make a place easier or harder, and nothing of who passes."""

import numpy as np
import pytest

from pipeline.catalog.difficulties import CROWD, DIFFICULTIES, NIGHT, STREET, STUDIO
from pipeline.errors import SettingsError
from pipeline.synthetic.identities import identity
from pipeline.synthetic.light import place_light
from pipeline.synthetic.looks import look
from pipeline.synthetic.passes import plan
from pipeline.synthetic.seeds import Population, person_seed
from pipeline.synthetic.street import Street, StreetSpec

PERSON = identity(person_seed(Population.VALIDATION, 3))


@pytest.mark.parametrize("name", list(DIFFICULTIES))
def test_automatic_exposure_keeps_the_light_of_a_place_within_its_bounds(name: str) -> None:
    """No light is darker or brighter than the place's camera shows it."""
    place, rng = DIFFICULTIES[name], np.random.default_rng(0)
    levels = [place_light(rng, place).level for _ in range(200)]
    assert min(levels) >= place.level[0] - 1e-6
    assert max(levels) <= place.level[1] + 1e-6


def test_nights_are_darker_noisier_and_slower_than_days() -> None:
    """What a lamp leaves to a camera, it pays for with noise and a slow shutter."""
    assert NIGHT.level[1] < STREET.level[1]
    assert NIGHT.noise[0] > STREET.noise[1]
    assert NIGHT.shutter_ms[0] > STREET.shutter_ms[1]


@pytest.mark.parametrize("worn", ["glasses", "cap", "headscarf", "scarf"])
def test_what_is_worn_comes_in_the_share_that_the_place_says(worn: str) -> None:
    """Over many days of one person, each thing is worn about as often as the data say."""
    rng = np.random.default_rng(1)
    days = [look(PERSON, rng, CROWD).style for _ in range(3000)]
    share = np.mean([getattr(style, worn) for style in days])
    assert abs(share - getattr(CROWD, worn)) < 0.03


def test_cap_and_headscarf_are_never_worn_at_once() -> None:
    """One thing on a head at most."""
    rng = np.random.default_rng(2)
    assert not any(s.cap and s.headscarf for s in (look(PERSON, rng, CROWD).style for _ in range(500)))


def test_the_same_people_pass_whatever_the_difficulty() -> None:
    """Who walks by follows from seed, camera and density alone."""
    people = [
        [walk.identity for walk in plan(StreetSpec(seed=4, camera="a/1", density=20.0, difficulty=name))]
        for name in ("studio", "night")
    ]
    assert people[0][:1] == people[1][:1]


def test_density_is_that_of_the_difficulty_unless_it_is_given() -> None:
    """A crowd has several times the walkers of a studio."""
    crowd = plan(StreetSpec(seed=4, camera="a/1", difficulty="crowd"))
    studio = plan(StreetSpec(seed=4, camera="a/1", difficulty="studio"))
    assert len(crowd) > 4 * len(studio)
    assert CROWD.density > STREET.density > STUDIO.density


def test_an_unknown_difficulty_names_those_that_there_are() -> None:
    """The error lists the names."""
    with pytest.raises(SettingsError, match="studio, street, night, crowd"):
        StreetSpec(seed=1, camera="a", difficulty="fog")


def test_a_scarf_or_a_hand_hides_a_part_of_the_face_in_the_truth() -> None:
    """Faces with a covered mouth say so, so that they are not counted within working distance."""
    hidden = []
    for seed in range(6):
        street = Street(StreetSpec(seed=seed, camera="a/1", difficulty="crowd", density=40.0, fps=1.0))
        scarves = {str(w.walk.index) for w in street._walkers if w.look.style.scarf > 0}
        for sequence in range(street.frames_per_loop):
            hidden += [f.occlusion for f in street.truth(sequence).faces if f.pass_id.rsplit("/", 1)[1] in scarves]
    assert len(hidden) > 5
    assert min(hidden) >= 0.2
