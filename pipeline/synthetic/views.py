"""Single pictures of one face, as a camera of some place would send them, without the scene around it."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog.difficulties import Difficulty
from pipeline.synthetic.bodies import clothes, draw_body, draw_capsule, draw_hand
from pipeline.synthetic.faces import Head, Pose, draw, project
from pipeline.synthetic.grain import add_grain
from pipeline.synthetic.light import own_light, place_light
from pipeline.synthetic.weather import draw_rain, smear

PATCH_UNITS: Final = 3.4
"""Side of a picture in head units."""
WALKING: Final = 1.0
"""Metres per second, about, of somebody who walks across; a head unit is 9 cm."""
UNIT_METRES: Final = 0.09
WIDE_TURN_DEGREES: Final = 35.0
STEEPEST_DEGREES: Final = 75.0


def _cover(image: NDArray[np.uint8], rng: np.random.Generator, unit: float) -> None:
    """Put somebody's shoulder or arm over a part of the face."""
    side = image.shape[0]
    colour = rng.uniform(15, 215, 3).astype(np.float32)
    angle, distance = rng.uniform(0, 2 * math.pi), rng.uniform(0.85, 1.5) * unit
    x, y = side / 2 + distance * math.cos(angle), 0.45 * side + distance * math.sin(angle)
    along = angle + math.pi / 2 + rng.normal(0, 0.3)
    dx, dy = 3 * unit * math.cos(along), 3 * unit * math.sin(along)
    radius = rng.uniform(0.3, 0.6) * unit
    draw_capsule(image, x - dx, y - dy, radius, x + dx, y + dy, radius, colour, 1.0, 0.0, 1.0)


def _pose(rng: np.random.Generator, place: Difficulty, unit: float, side: int) -> Pose:
    """Draw how a head is held before a camera of a place."""
    spread = WIDE_TURN_DEGREES if rng.random() < place.turned else place.glance_degrees
    return Pose(
        yaw=float(np.clip(rng.normal(0.0, spread), -STEEPEST_DEGREES, STEEPEST_DEGREES)),
        pitch=float(rng.uniform(*place.pitch_degrees)),
        roll=float(rng.normal(0, 4)),
        x=side / 2 + rng.normal(0, 0.05) * unit,
        y=0.45 * side + rng.normal(0, 0.05) * unit,
        unit=unit,
    )


def single_view(
    subject: Head, rng: np.random.Generator, backdrops: Sequence[NDArray[np.uint8]], place: Difficulty
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a square BGR picture of a head as a camera of a place sees it, and its landmarks, float32[5, 2] in pixels.

    The side is 3.4 head units. Behind the head lies a piece of one of `backdrops`, uint8[H, W, 3], which are larger.
    """
    unit = math.exp(rng.uniform(math.log(place.unit_pixels[0]), math.log(place.unit_pixels[1])))
    side = math.ceil(PATCH_UNITS * unit)
    light = own_light(rng, place_light(rng, place), place)
    brightness = min(1.2, math.sqrt(light.level))
    scene = backdrops[int(rng.integers(len(backdrops)))]
    top, left = int(rng.integers(scene.shape[0] - side)), int(rng.integers(scene.shape[1] - side))
    piece = scene[top : top + side, left : left + side]
    image = np.ascontiguousarray(np.clip(piece * np.float32(brightness), 0, 255).astype(np.uint8))
    pose = _pose(rng, place, unit, side)
    wear = clothes(rng)
    draw_body(
        image, wear, x=pose.x, y=pose.y, unit=unit, stride=float(rng.uniform(0, 6)), yaw=pose.yaw, light=brightness
    )
    draw(image, subject, pose, light)
    if rng.random() < place.hand:
        beside = -1.0 if rng.random() < 0.5 else 1.0
        draw_hand(image, pose.x, pose.y, unit, beside, subject.skin, wear.top, brightness)
    if rng.random() < place.covered:
        _cover(image, rng, unit)
    way = rng.normal(0.0, 0.5, 2) * WALKING / UNIT_METRES * unit * rng.uniform(*place.shutter_ms) / 1000.0
    smear(image, 0, 0, side, side, float(way[0]), 0.4 * float(way[1]))
    if rng.random() < place.rain:
        draw_rain(image, rng, float(rng.uniform(0.3, 1.0)), light.level)
    add_grain(image, int(rng.integers(1 << 20)), float(rng.uniform(*place.noise)))
    return image, project(subject.landmarks, pose)
