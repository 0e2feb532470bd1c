"""Street-like pictures of one face, for training: the same faces, light, noise and sizes as a street, without one."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.bodies import clothes, draw_body, draw_capsule
from pipeline.synthetic.faces import Head, Light, Pose, draw, outdoor_light, project
from pipeline.synthetic.grain import add_grain

PATCH_UNITS: Final = 3.4
"""Side of a patch in head units."""
SMALLEST_UNIT: Final = 8.0
LARGEST_UNIT: Final = 52.0


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


def street_view(
    subject: Head, rng: np.random.Generator, backdrops: Sequence[NDArray[np.uint8]]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a square BGR picture of a head as a street camera sees it, and its landmarks, float32[5, 2] in pixels.

    The side is 3.4 head units, and a head unit 8 to 52 px, so the face is about 16 to 100 px tall.
    """
    unit = math.exp(rng.uniform(math.log(SMALLEST_UNIT), math.log(LARGEST_UNIT)))
    side = math.ceil(PATCH_UNITS * unit)
    scene = backdrops[int(rng.integers(len(backdrops)))]
    top, left = int(rng.integers(scene.shape[0] - side)), int(rng.integers(scene.shape[1] - side))
    image = np.ascontiguousarray(scene[top : top + side, left : left + side])
    light = outdoor_light(rng)
    shade = math.exp(rng.normal(0.0, 0.18))
    light = Light(
        light.direction,
        (light.key * shade * rng.uniform(0.5, 1.1)).astype(np.float32),
        (light.ambient * shade).astype(np.float32),
    )
    spread = 16.0 if rng.random() < 0.7 else 35.0
    pose = Pose(
        yaw=float(np.clip(rng.normal(0.0, spread), -75, 75)),
        pitch=float(rng.uniform(-6, 24)),
        roll=float(rng.normal(0, 4)),
        x=side / 2 + rng.normal(0, 0.05) * unit,
        y=0.45 * side + rng.normal(0, 0.05) * unit,
        unit=unit,
    )
    stride = float(rng.uniform(0, 6))
    draw_body(
        image,
        clothes(rng),
        x=pose.x,
        y=pose.y,
        unit=unit,
        stride=stride,
        yaw=pose.yaw,
        light=min(1.2, math.sqrt(light.level)),
    )
    draw(image, subject, pose, light)
    if rng.random() < 0.1:
        _cover(image, rng, unit)
    add_grain(image, int(rng.integers(1 << 20)))
    return image, project(subject.landmarks, pose)
