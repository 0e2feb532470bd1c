"""Looks: what a person wears and how they are groomed today; it changes between sightings and identifies nobody."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.identities import Identity


class Style(NamedTuple):
    """Floats that steer hair, beard, glasses, cap and expression; amounts are 0 … 1, lengths in head units."""

    hair_volume: float
    hair_length: float
    hair_wave: float
    baldness: float
    fringe: float
    beard: float
    moustache: float
    cap: float
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


def look(person: Identity, rng: np.random.Generator, *, neutral: bool = False) -> Look:
    """Draw a look for a person; a neutral one (for enrolment) has no glasses, cap or wide expression."""
    volume, length, wave, bald, fringe = _hair(rng)
    bearded = rng.random() < 0.3
    beard = float(rng.uniform(0.25, 1.0)) if bearded else float(rng.uniform(0.0, 0.15))
    glasses = rng.random() < 0.25 and not neutral
    cap = rng.random() < 0.12 and not neutral
    mood = 0.25 if neutral else 1.0
    style = Style(
        hair_volume=volume,
        hair_length=length,
        hair_wave=wave,
        baldness=bald,
        fringe=fringe,
        beard=beard,
        moustache=beard * float(rng.uniform(0.4, 1.0)),
        cap=float(cap),
        glasses=float(glasses),
        glasses_width=float(rng.uniform(0.25, 0.34)),
        glasses_height=float(rng.uniform(0.15, 0.24)),
        glasses_square=float(rng.uniform(2.0, 6.0)),
        glasses_rim=float(rng.uniform(0.02, 0.05)),
        jaw_open=mood * max(0.0, float(rng.normal(0.0, 0.4))),
        smile=mood * float(rng.normal(0.15, 0.45)),
        brow_raise=mood * float(rng.normal(0.0, 0.6)),
        eye_closure=mood * float(rng.beta(1.2, 6.0)),
    )
    dyed = np.array([rng.uniform(0.04, 0.5), rng.uniform(0.04, 0.55), rng.uniform(0.05, 0.65)])
    hair = dyed if rng.random() < 0.15 else np.clip(person.hair_colour * rng.uniform(0.75, 1.25), 0.0, 1.0)
    return Look(
        style=style,
        hair_colour=hair,
        cap_colour=rng.uniform(0.05, 0.8, 3),
        rim_colour=rng.uniform(0.02, 0.35) * np.ones(3),
        tone_shift=float(rng.normal(0.0, 0.8)),
        flush_shift=float(rng.normal(0.0, 0.15)),
    )
