"""Cohorts: the synthetic truth of how a person looks, in the coarse groups that an evaluation compares.

They are read from the numbers that a picture is drawn from, never from a picture, and nothing in the pipeline sees
them: no frame, template, alert or watchlist entry carries one.
"""

from typing import Final, NamedTuple

from pipeline.synthetic.identities import Identity
from pipeline.synthetic.looks import Look
from pipeline.synthetic.passes import StreetSpec, plan
from pipeline.synthetic.street import appearance

AGE_LOOK: Final = (0.534, 0.739)
"""Thirds of the population by `age_score` (3,000 people of the validation population)."""
GREYEST: Final = 0.62
"""The blue of hair that is all grey."""


class Cohorts(NamedTuple):
    """The cohort of a person with a look, in each dimension."""

    skin: str
    """Monk scale: "monk 1-3", "monk 4-7" or "monk 8-10", of the skin without tan."""
    glasses: str
    """"yes" or "no"."""
    covering: str
    """"none", "cap" or "headscarf"."""
    age_look: str
    """"younger", "middle" or "older", by folds, lines, bags and grey hair; nobody here has an age."""


def cohorts(person: Identity, appearance: Look) -> Cohorts:
    """Return the cohorts of a person with a look."""
    style = appearance.style
    return Cohorts(
        skin=_skin(person.tone),
        glasses="yes" if style.glasses > 0.5 else "no",
        covering="cap" if style.cap > 0.5 else "headscarf" if style.headscarf > 0.5 else "none",
        age_look=_age_look(age_score(person)),
    )


def age_score(person: Identity) -> float:
    """Return how old a person looks, 0 and more: half the mean of lines, folds and bags, each ÷ its mean, plus grey.

    Of the hair it counts what grows, not what is dyed: the score stays the same from one sighting to the next.
    """
    shape = person.shape
    marks = shape.forehead_lines / 0.25 + shape.nasolabial_fold / 0.3 + shape.eye_bags / 0.3
    blue, _, red = (float(part) for part in person.hair_colour)
    grey = min(1.0, blue / GREYEST) * min(1.0, blue / max(red, 1e-6))
    return marks / 6.0 + grey


def _skin(tone: float) -> str:
    """Return the band of a tone, 0 … 9 for Monk 1 … 10."""
    return "monk 1-3" if tone < 2.5 else "monk 4-7" if tone < 6.5 else "monk 8-10"


def _age_look(score: float) -> str:
    return "younger" if score < AGE_LOOK[0] else "middle" if score < AGE_LOOK[1] else "older"


def cohorts_of_street(spec: StreetSpec) -> dict[int, Cohorts]:
    """Return the cohorts of everybody who passes in a loop of a street, by the index of the walk."""
    out = {}
    for walk in plan(spec):
        person, today, _ = appearance(walk, spec)
        out[walk.index] = cohorts(person, today)
    return out
