"""Looks: what a person wears and how they are groomed today; it changes between sightings and identifies nobody."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog.difficulties import STUDIO, Difficulty
from pipeline.synthetic.identities import Identity

DYES: Final = ((0.06, 0.08, 0.12), (0.10, 0.16, 0.30), (0.30, 0.52, 0.70), (0.12, 0.14, 0.45), (0.38, 0.36, 0.38))
"""Usual colours of dyed hair, BGR: black, brown, blond, red and grey."""


class Style(NamedTuple):
    """Floats that steer hair, beard, glasses, what is worn and the expression; amounts are 0 … 1, lengths in head
    units."""

    hair_volume: float
    hair_length: float
    hair_wave: float
    baldness: float
    fringe: float
    beard: float
    moustache: float
    cap: float
    headscarf: float
    scarf: float
    glasses: float
    glasses_width: float
    glasses_height: float
    glasses_square: float
    glasses_rim: float
    jaw_open: float
    smile: float
    brow_raise: float
    eye_closure: float


@dataclass(frozen=True, slots=True)
class Look:
    """One day's appearance: a style and BGR colours, float64[3] in 0 … 1; `tone_shift` tans or pales the skin."""

    style: Style
    hair_colour: NDArray[np.float64]
    cap_colour: NDArray[np.float64]
    """Of cap or headscarf."""
    scarf_colour: NDArray[np.float64]
    rim_colour: NDArray[np.float64]
    tone_shift: float
    flush_shift: float


def _hair(rng: np.random.Generator) -> tuple[float, float, float, float, float]:
    """Draw volume, length, wave, baldness and fringe of a haircut."""
    kind = rng.random()
    if kind < 0.12:
        return 0.02, 0.0, 0.0, 1.0, 0.0
    length = float(rng.choice([0.0, 0.45, 1.0], p=[0.5, 0.25, 0.25]))
    return float(rng.uniform(0.04, 0.2)), length, float(rng.random()), 0.0, float(max(0.0, rng.normal(-0.02, 0.12)))


def _dye(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the colour of dyed hair: a usual one, or now and then any."""
    if rng.random() < 0.15:
        return np.array([rng.uniform(0.04, 0.5), rng.uniform(0.04, 0.55), rng.uniform(0.05, 0.65)])
    shade: NDArray[np.float64] = np.clip(np.array(DYES[int(rng.integers(len(DYES)))]) * rng.uniform(0.7, 1.3), 0.0, 1.0)
    return shade


def look(person: Identity, rng: np.random.Generator, place: Difficulty) -> Look:
    """Draw how a person looks on the day that they come to a place; nothing of it depends on who they are."""
    volume, length, wave, bald, fringe = _hair(rng)
    beard = float(rng.uniform(0.25, 1.0)) if rng.random() < place.beard else float(rng.uniform(0.0, 0.15))
    covering = rng.random()
    mood = place.expression
    style = Style(
        hair_volume=volume,
        hair_length=length,
        hair_wave=wave,
        baldness=bald,
        fringe=fringe,
        beard=beard,
        moustache=beard * float(rng.uniform(0.4, 1.0)),
        cap=float(covering < place.cap),
        headscarf=float(place.cap <= covering < place.cap + place.headscarf),
        scarf=float(rng.random() < place.scarf),
        glasses=float(rng.random() < place.glasses),
        glasses_width=float(rng.uniform(0.25, 0.34)),
        glasses_height=float(rng.uniform(0.15, 0.24)),
        glasses_square=float(rng.uniform(2.0, 6.0)),
        glasses_rim=float(rng.uniform(0.015, 0.045)),
        jaw_open=mood * max(0.0, float(rng.normal(-0.1, 0.4))),
        smile=mood * float(rng.normal(0.1, 0.4)),
        brow_raise=mood * float(rng.normal(0.0, 0.6)),
        eye_closure=mood * float(rng.beta(1.2, 6.0)),
    )
    hair = _dye(rng) if rng.random() < place.dyed else np.clip(person.hair_colour * rng.uniform(0.75, 1.25), 0.0, 1.0)
    return Look(
        style=style,
        hair_colour=hair,
        cap_colour=rng.uniform(0.05, 0.8, 3),
        scarf_colour=rng.uniform(0.05, 0.7, 3),
        rim_colour=rng.uniform(0.02, 0.35) * np.ones(3),
        tone_shift=float(rng.normal(0.0, 0.8)),
        flush_shift=float(rng.normal(0.0, 0.15)),
    )


def enrolment_look(person: Identity, rng: np.random.Generator) -> Look:
    """Draw the look of an enrolment picture: no glasses, nothing on the head, a quiet face."""
    drawn = look(person, rng, STUDIO)
    style = drawn.style
    quiet = style._replace(
        glasses=0.0, headscarf=0.0, jaw_open=style.jaw_open / 2, smile=style.smile / 2,
        brow_raise=style.brow_raise / 2, eye_closure=style.eye_closure / 2,
    )  # fmt: skip
    return Look(
        quiet,
        drawn.hair_colour,
        drawn.cap_colour,
        drawn.scarf_colour,
        drawn.rim_colour,
        drawn.tone_shift,
        drawn.flush_shift,
    )
