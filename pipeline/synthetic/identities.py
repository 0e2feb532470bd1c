"""Identities: what stays the same about a synthetic person between two sightings.

Lengths are in head units: 1 is about 9 cm, x points to the viewer's right, y up, z towards the viewer, and the origin
lies in the head at the height of an average person's eyes.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.seeds import Purpose, generator

MONK_TONES: Final = (
    (246, 237, 228),
    (243, 231, 219),
    (247, 234, 208),
    (234, 218, 186),
    (215, 189, 150),
    (160, 126, 86),
    (130, 92, 67),
    (96, 65, 52),
    (58, 49, 42),
    (41, 36, 32),
)
"""The ten skin tones of the Monk scale, sRGB."""

PIGMENT_SHAPE: Final = (11, 9)
"""Rows and columns of the coarse pigment field over the face."""

MOLES: Final = 7


class Shape(NamedTuple):
    """Geometry of a head and the drawing of its features, all floats in head units unless the name says otherwise."""

    crown_width: float
    temple_width: float
    cheek_width: float
    jaw_width: float
    chin_width: float
    upper_height: float
    lower_height: float
    front_depth: float
    back_depth: float
    roundness: float
    forehead_slope: float
    brow_ridge: float
    cheekbone: float
    cheekbone_y: float
    cheek_fullness: float
    chin_projection: float
    chin_cleft: float
    eye_spacing: float
    eye_y: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    socket_depth: float
    lid_fold: float
    eye_bags: float
    brow_y: float
    brow_thickness: float
    brow_length: float
    brow_arch: float
    brow_tilt: float
    brow_density: float
    nose_length: float
    nose_width: float
    nose_protrusion: float
    bridge_width: float
    bridge_height: float
    bridge_hump: float
    tip_size: float
    tip_lift: float
    nostrils: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    lip_bow: float
    lip_corner: float
    lip_protrusion: float
    lip_red: float
    ear_size: float
    ear_y: float
    ear_flare: float
    hairline: float
    hairline_peak: float
    hairline_recession: float
    nasolabial_fold: float
    forehead_lines: float
    freckles: float
    flush: float


_SPREAD: Final[dict[str, tuple[float, float]]] = {
    "crown_width": (0.87, 0.045),
    "temple_width": (0.93, 0.05),
    "cheek_width": (0.91, 0.06),
    "jaw_width": (0.78, 0.085),
    "chin_width": (0.60, 0.09),
    "upper_height": (1.22, 0.06),
    "lower_height": (1.27, 0.085),
    "front_depth": (1.0, 0.05),
    "back_depth": (1.12, 0.06),
    "roundness": (0.55, 0.05),
    "forehead_slope": (0.0, 0.06),
    "brow_ridge": (0.045, 0.035),
    "cheekbone": (0.06, 0.045),
    "cheekbone_y": (-0.30, 0.06),
    "cheek_fullness": (0.02, 0.06),
    "chin_projection": (0.12, 0.06),
    "chin_cleft": (0.0, 0.03),
    "eye_spacing": (0.39, 0.04),
    "eye_y": (0.0, 0.035),
    "eye_width": (0.17, 0.022),
    "eye_height": (0.068, 0.017),
    "eye_tilt": (0.03, 0.075),
    "socket_depth": (0.10, 0.035),
    "lid_fold": (0.45, 0.25),
    "eye_bags": (0.3, 0.25),
    "brow_y": (0.23, 0.04),
    "brow_thickness": (0.046, 0.016),
    "brow_length": (0.25, 0.03),
    "brow_arch": (0.035, 0.028),
    "brow_tilt": (0.0, 0.11),
    "brow_density": (0.72, 0.2),
    "nose_length": (0.50, 0.06),
    "nose_width": (0.20, 0.04),
    "nose_protrusion": (0.30, 0.06),
    "bridge_width": (0.11, 0.022),
    "bridge_height": (0.14, 0.045),
    "bridge_hump": (0.0, 0.035),
    "tip_size": (0.14, 0.025),
    "tip_lift": (0.0, 0.035),
    "nostrils": (0.5, 0.22),
    "mouth_y": (-0.81, 0.05),
    "mouth_width": (0.30, 0.045),
    "upper_lip": (0.048, 0.017),
    "lower_lip": (0.066, 0.02),
    "lip_bow": (0.02, 0.013),
    "lip_corner": (0.0, 0.022),
    "lip_protrusion": (0.06, 0.028),
    "lip_red": (0.45, 0.2),
    "ear_size": (0.29, 0.045),
    "ear_y": (-0.12, 0.05),
    "ear_flare": (0.16, 0.08),
    "hairline": (0.72, 0.09),
    "hairline_peak": (0.0, 0.06),
    "hairline_recession": (0.1, 0.09),
    "nasolabial_fold": (0.3, 0.22),
    "forehead_lines": (0.25, 0.25),
    "freckles": (0.2, 0.25),
    "flush": (0.35, 0.25),
}
_NEVER_NEGATIVE: Final = frozenset(
    {"lid_fold", "eye_bags", "nostrils", "lip_red", "nasolabial_fold", "forehead_lines", "freckles", "flush"}
)
_REACH: Final = 2.0
"""Traits are drawn within this many standard deviations."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A synthetic person.

    `skin`, `hair_colour` and `iris` are float64[3] BGR in 0 … 1 of a neutral light; `pigment` is float64[11, 9], a
    relative darkness over the face with mean 0; `moles` is float64[7, 4] of x, y, radius and darkness; `speckle_seed`
    seeds the fine grain of the skin.
    """

    seed: int
    shape: Shape
    tone: float
    skin: NDArray[np.float64]
    hair_colour: NDArray[np.float64]
    iris: NDArray[np.float64]
    pigment: NDArray[np.float64]
    moles: NDArray[np.float64]
    speckle_seed: int


def skin_colour(tone: float) -> NDArray[np.float64]:
    """Return the BGR colour, float64[3] in 0 … 1, of a Monk tone; fractions between 0 and 9 are interpolated."""
    scale = np.array(MONK_TONES, dtype=np.float64)[:, ::-1] / 255.0
    position = float(np.clip(tone, 0.0, 9.0))
    low = min(int(position), 8)
    colour: NDArray[np.float64] = scale[low] + (scale[low + 1] - scale[low]) * (position - low)
    return colour


def _hair_colour(rng: np.random.Generator, tone: float) -> NDArray[np.float64]:
    """Draw a hair colour; fair hair is rarer on darker skin."""
    fairness = rng.beta(1.0, 2.5) * (1.0 - 0.85 * min(tone / 6.0, 1.0))
    dark, fair = np.array([0.05, 0.06, 0.08]), np.array([0.35, 0.58, 0.74])
    grey = max(0.0, rng.normal(-0.25, 0.4))
    colour = dark + (fair - dark) * fairness
    greyed: NDArray[np.float64] = np.clip(colour + (np.array([0.62, 0.62, 0.62]) - colour) * min(grey, 0.9), 0.0, 1.0)
    return greyed


@lru_cache(maxsize=4096)
def identity(seed: int) -> Identity:
    """Return the person of a seed (see `seeds.person_seed`); the same seed gives the same person everywhere."""
    rng = generator(Purpose.IDENTITY, seed)
    traits = {}
    for name in Shape._fields:
        mean, spread = _SPREAD[name]
        draw = mean + spread * min(_REACH, max(-_REACH, float(rng.normal())))
        traits[name] = max(0.0, draw) if name in _NEVER_NEGATIVE else draw
    tone = float(rng.uniform(0.0, 9.0))
    moles = np.stack(
        [
            rng.uniform(-0.62, 0.62, MOLES),
            rng.uniform(-1.15, 0.6, MOLES),
            rng.uniform(0.025, 0.06, MOLES),
            rng.uniform(0.25, 0.75, MOLES) * (rng.random(MOLES) < 0.55),
        ],
        axis=1,
    )
    iris_dark, iris_light = np.array([0.08, 0.13, 0.22]), np.array([0.55, 0.48, 0.36])
    return Identity(
        seed=seed,
        shape=Shape(**traits),
        tone=tone,
        skin=skin_colour(tone),
        hair_colour=_hair_colour(rng, tone),
        iris=iris_dark + (iris_light - iris_dark) * rng.beta(0.7, 1.5),
        pigment=np.clip(rng.normal(0.0, 1.0, PIGMENT_SHAPE), -2.0, 2.0),
        moles=moles,
        speckle_seed=int(rng.integers(1 << 31)),
    )
