"""Light as a camera sees it: drawn for a place, and brought into the camera's range by its automatic exposure."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog.difficulties import Difficulty

KEY_STRENGTH: Final = 1.5
"""A direct light of strength 1 is as bright as so much of a diffuse one on the parts that it reaches."""


@dataclass(frozen=True, slots=True)
class Light:
    """Direction towards the light (unit float32[3]) and BGR strengths of key and ambient light (float32[3], linear)."""

    direction: NDArray[np.float32]
    key: NDArray[np.float32]
    ambient: NDArray[np.float32]

    @property
    def level(self) -> float:
        """The light on a surface that half faces it; white is white at 1."""
        return float(np.mean(self.key) * 0.5 + np.mean(self.ambient))

    def dimmed(self, key: float, ambient: float) -> "Light":
        """Return this light with its two strengths multiplied."""
        return Light(self.direction, self.key * np.float32(key), self.ambient * np.float32(ambient))


def place_light(rng: np.random.Generator, place: Difficulty) -> Light:
    """Draw the light of a place, as its camera's automatic exposure shows it."""
    drawn = studio_light(rng) if place.illumination == "studio" else _outdoor(rng, place)
    return auto_exposed(drawn, place)


def auto_exposed(light: Light, place: Difficulty) -> Light:
    """Return a light as a camera's automatic exposure makes of it: neither too dark nor too bright for the place."""
    darkest, brightest = place.level
    gain = min(brightest, max(darkest, light.level)) / light.level
    return light.dimmed(gain, gain)


def own_light(rng: np.random.Generator, light: Light, place: Difficulty) -> Light:
    """Draw the light on one person of a place: their own shade, and how much of the direct light reaches them."""
    shade = math.exp(rng.normal(0.0, place.shade))
    direct = rng.uniform(0.5, 1.1) if place.illumination != "studio" else rng.uniform(0.9, 1.1)
    return light.dimmed(shade * direct, shade)


def studio_light(rng: np.random.Generator) -> Light:
    """Draw a soft frontal light with a little variation."""
    direction = np.array([rng.uniform(-0.35, 0.35), rng.uniform(0.2, 0.5), 1.0])
    direction /= np.linalg.norm(direction)
    exposure = math.exp(rng.normal(-0.22, 0.06))
    tint = np.array([1.0, 1.0, 1.0]) + rng.normal(0.0, 0.02, 3)
    return Light(
        direction.astype(np.float32),
        (exposure * 0.55 * tint).astype(np.float32),
        (exposure * 0.5 * tint).astype(np.float32),
    )


def _outdoor(rng: np.random.Generator, place: Difficulty) -> Light:
    """Draw sun and sky, or lamps and what the walls give back of them."""
    lamps = place.illumination == "lamps"
    azimuth = rng.uniform(-1.7, 1.7)
    height = rng.uniform(0.5, 1.3) if lamps else rng.uniform(-0.1, 1.2)
    direction = np.array(
        [math.sin(azimuth) * math.cos(height), math.sin(height), math.cos(azimuth) * math.cos(height)], np.float32
    )
    warmth = rng.normal(*place.warmth)
    colour = np.array([1.0 - warmth, 1.0, 1.0 + warmth])
    exposure = math.exp(rng.normal(*place.exposure))
    diffuse = rng.uniform(*place.diffuse)
    around = colour if lamps else np.array([1.08, 1.0, 0.94])
    return Light(
        direction,
        (exposure * (1 - diffuse) * KEY_STRENGTH * colour).astype(np.float32),
        (exposure * diffuse * around).astype(np.float32),
    )
