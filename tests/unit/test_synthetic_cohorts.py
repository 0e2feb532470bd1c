"""Cohorts are the truth that pictures are drawn from."""

from collections import Counter
from dataclasses import replace

import pytest

from pipeline.catalog.difficulties import STREET
from pipeline.synthetic.cohorts import age_score, cohorts, cohorts_of_street
from pipeline.synthetic.identities import Identity, identity
from pipeline.synthetic.looks import Look, look
from pipeline.synthetic.seeds import Population, Purpose, generator, group
from pipeline.synthetic.street import Street, StreetSpec


def somebody() -> tuple[Identity, Look]:
    person = identity(group(Population.VALIDATION, 3, 1)[0])
    return person, look(person, generator(Purpose.LOOK, 1), STREET)


@pytest.mark.parametrize(
    ("tone", "band"), [(0.0, "monk 1-3"), (2.4, "monk 1-3"), (2.6, "monk 4-7"), (6.4, "monk 4-7"), (9.0, "monk 8-10")]
)
def test_skin_is_a_band_of_the_monk_scale(tone: float, band: str) -> None:
    """The nearest of the ten tones decides."""
    person, appearance = somebody()
    assert cohorts(replace(person, tone=tone), appearance).skin == band


def test_what_is_worn_is_read_from_the_look() -> None:
    """Glasses, cap, headscarf and nothing."""
    person, appearance = somebody()
    bare = appearance.style._replace(glasses=0.0, cap=0.0, headscarf=0.0)
    for change, covering, glasses in [
        ({}, "none", "no"),
        ({"cap": 1.0}, "cap", "no"),
        ({"headscarf": 1.0, "glasses": 1.0}, "headscarf", "yes"),
    ]:
        found = cohorts(person, replace(appearance, style=bare._replace(**change)))
        assert (found.covering, found.glasses) == (covering, glasses)


def test_lines_folds_bags_and_grey_hair_make_an_older_look() -> None:
    """Each of them on its own raises the score; a dye does not."""
    person, appearance = somebody()
    plain = replace(
        person, shape=person.shape._replace(forehead_lines=0.1, nasolabial_fold=0.1, eye_bags=0.1),
        hair_colour=person.hair_colour * 0 + [0.05, 0.06, 0.08],
    )  # fmt: skip
    assert cohorts(plain, appearance).age_look == "younger"
    for change in ("forehead_lines", "nasolabial_fold", "eye_bags"):
        assert age_score(replace(plain, shape=plain.shape._replace(**{change: 0.8}))) > age_score(plain)
    grey = replace(plain, hair_colour=plain.hair_colour * 0 + 0.6)
    assert cohorts(grey, appearance).age_look == "older"
    assert cohorts(plain, replace(appearance, hair_colour=grey.hair_colour)).age_look == "younger"


def test_a_third_of_a_population_has_each_age_look() -> None:
    """In a group that the limits were not taken from."""
    _, appearance = somebody()
    counts = Counter(cohorts(identity(s), appearance).age_look for s in group(Population.VALIDATION, 9, 900))
    assert all(240 <= counts[name] <= 360 for name in ("younger", "middle", "older"))


def test_a_street_s_cohorts_are_those_of_the_looks_that_it_draws() -> None:
    """Recomputed from the spec alone, without drawing a picture."""
    spec = StreetSpec(seed=4, camera="cohorts/0")
    # the street keeps what it draws to itself; the truth that it publishes holds no look
    drawn = {w.walk.index: cohorts(w.person, w.look) for w in Street(spec)._walkers}
    assert cohorts_of_street(spec) == drawn
    assert len(drawn) > 3
