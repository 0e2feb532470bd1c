"""Bodies of walkers: tapered capsules for legs, arms and torso, drawn flat with a rounded shade."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled import compiled

SHOULDER_DROP: Final = 2.15
"""Head units from the head's origin down to the shoulders."""
HAND_X, HAND_Y = 0.42, 0.8
"""Where the middle of a hand at a cheek is, in head units beside and below the head's origin."""
HAND_RADIUS: Final = 0.5
"""Of the part of a face that such a hand hides, in head units."""


@dataclass(frozen=True, slots=True)
class Clothes:
    """BGR colours, float32[3] in 0 … 255, a stripe strength 0 … 1 and a build (1 is average)."""

    top: NDArray[np.float32]
    trousers: NDArray[np.float32]
    shoes: NDArray[np.float32]
    stripes: float
    build: float


def clothes(rng: np.random.Generator) -> Clothes:
    """Draw what somebody wears below the neck."""
    return Clothes(
        top=rng.uniform(15, 215, 3).astype(np.float32),
        trousers=(rng.uniform(20, 110) * rng.uniform(0.8, 1.2, 3)).astype(np.float32),
        shoes=(rng.uniform(15, 70) * np.ones(3)).astype(np.float32),
        stripes=float(rng.uniform(0.2, 0.5)) if rng.random() < 0.3 else 0.0,
        build=float(rng.uniform(0.88, 1.18)),
    )


@compiled()
def draw_capsule(  # noqa: PLR0917  # compiled code is called by position
    image: NDArray[np.uint8],
    x0: float,
    y0: float,
    r0: float,
    x1: float,
    y1: float,
    r1: float,
    colour: NDArray[np.float32],
    brightness: float,
    stripes: float,
    pitch: float,
) -> None:
    """Draw a capsule from (x0, y0) to (x1, y1) whose radius goes from r0 to r1, in place."""
    reach = max(r0, r1) + 1.0
    left, right = max(0, int(min(x0, x1) - reach)), min(image.shape[1], int(max(x0, x1) + reach) + 1)
    top, bottom = max(0, int(min(y0, y1) - reach)), min(image.shape[0], int(max(y0, y1) + reach) + 1)
    dx, dy = x1 - x0, y1 - y0
    inverse = 1.0 / (dx * dx + dy * dy + 1e-6)
    for i in range(top, bottom):
        for j in range(left, right):
            px, py = j + 0.5 - x0, i + 0.5 - y0
            t = min(1.0, max(0.0, (px * dx + py * dy) * inverse))
            ox, oy = px - t * dx, py - t * dy
            square = ox * ox + oy * oy
            radius = r0 + (r1 - r0) * t
            if square >= (radius + 0.5) * (radius + 0.5):
                continue
            cover = min(1.0, radius + 0.5 - math.sqrt(square))
            round_ = 1.0 - 0.45 * square / (radius * radius + 1e-6) + 0.12 * ox / (radius + 1e-6)
            shade = brightness * round_
            if stripes > 0 and int(py / pitch + 1000.0) % 2 == 0:
                shade *= 1.0 - stripes
            for c in range(3):
                value = min(255.0, colour[c] * shade)
                image[i, j, c] = int(cover * value + (1.0 - cover) * image[i, j, c])


@compiled()
def draw_limbs(  # noqa: PLR0917  # compiled code is called by position
    image: NDArray[np.uint8],
    x: float,
    y: float,
    unit: float,
    build: float,
    stride: float,
    turn: float,
    top: NDArray[np.float32],
    trousers: NDArray[np.float32],
    shoes: NDArray[np.float32],
    stripes: float,
    brightness: float,
) -> None:
    """Draw legs, arms and torso under a head whose origin is at pixel (x, y); see `draw_body`."""
    swing = math.sin(stride)
    across = max(0.45, abs(math.cos(turn))) * build
    stretch = abs(math.sin(turn))
    hip, ankle = y + 8.6 * unit, y + 16.0 * unit
    for k in range(2):
        sign = 1.0 - 2.0 * k
        step = sign * swing
        foot_x = x + (sign * 0.75 * across + step * 1.7 * stretch) * unit
        foot_y = ankle + step * 0.35 * unit
        draw_capsule(image, x + sign * 0.75 * across * unit, hip, 0.95 * unit, foot_x, foot_y, 0.55 * unit,
                     trousers, brightness * (0.9 + 0.1 * sign), 0.0, 1.0)  # fmt: skip
        draw_capsule(image, foot_x, foot_y + 0.5 * unit, 0.45 * unit, foot_x, foot_y + 0.8 * unit, 0.5 * unit,
                     shoes, brightness, 0.0, 1.0)  # fmt: skip
    for k in range(2):
        sign = 1.0 - 2.0 * k
        step = -sign * swing
        draw_capsule(image, x + sign * 2.05 * across * unit, y + 2.8 * unit, 0.62 * unit,
                     x + (sign * 2.45 * across + step * 1.3 * stretch) * unit, y + (8.2 - 0.5 * abs(step)) * unit,
                     0.42 * unit, top, 0.85 * brightness, stripes, 0.8 * unit)  # fmt: skip
    draw_capsule(image, x, y + 4.3 * unit, 2.0 * across * unit, x, y + 7.7 * unit, 1.8 * across * unit,
                 top, brightness, stripes, 0.8 * unit)  # fmt: skip
    draw_capsule(image, x - 1.7 * across * unit, y + 2.75 * unit, 0.75 * unit, x + 1.7 * across * unit,
                 y + 2.75 * unit, 0.75 * unit, top, brightness, stripes, 0.8 * unit)  # fmt: skip


def draw_body(
    image: NDArray[np.uint8],
    wear: Clothes,
    *,
    x: float,
    y: float,
    unit: float,
    stride: float,
    yaw: float,
    light: float,
) -> None:
    """Draw a body into a BGR image, in place.

    (x, y) is the pixel of the head's origin, `unit` pixels for a head unit, `stride` the phase of the walk in radians,
    `yaw` the body's direction in degrees, `light` the brightness of the clothes (1 is their own colour).
    """
    draw_limbs(image, x, y, unit, wear.build, stride, math.radians(yaw), wear.top, wear.trousers, wear.shoes,
               wear.stripes, light)  # fmt: skip


@compiled()
def draw_hand(  # noqa: PLR0917  # compiled code is called by position
    image: NDArray[np.uint8],
    x: float,
    y: float,
    unit: float,
    side: float,
    skin: NDArray[np.float32],
    sleeve: NDArray[np.float32],
    brightness: float,
) -> None:
    """Draw a hand at a cheek with its forearm, in place; (x, y) is the head's origin, `side` -1 or 1, colours BGR."""
    palm_x, palm_y = x + side * HAND_X * unit, y + HAND_Y * unit
    draw_capsule(image, palm_x + side * 0.25 * unit, palm_y + 0.7 * unit, 0.3 * unit,
                 palm_x + side * 0.9 * unit, palm_y + 3.0 * unit, 0.5 * unit, sleeve, brightness, 0.0, 1.0)  # fmt: skip
    draw_capsule(image, palm_x, palm_y, 0.36 * unit, palm_x + side * 0.2 * unit, palm_y + 0.6 * unit, 0.26 * unit,
                 skin, brightness, 0.0, 1.0)  # fmt: skip
    for finger in range(4):
        spread = (finger - 1.5) * 0.17
        draw_capsule(image, palm_x + spread * unit, palm_y - 0.15 * unit, 0.1 * unit,
                     palm_x + (1.25 * spread - 0.12 * side) * unit, palm_y - (0.62 - 0.5 * spread * spread) * unit,
                     0.085 * unit, skin, brightness * (0.92 + 0.04 * finger), 0.0, 1.0)  # fmt: skip
