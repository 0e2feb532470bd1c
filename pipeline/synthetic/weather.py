"""What lies between a face and its picture: the smear of a slow shutter, and rain."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled import compiled

STILL_PIXELS: Final = 0.4
"""A shorter way within the exposure is no smear."""
LONGEST_SMEAR: Final = 24.0
"""In pixels; nobody on foot moves further within an exposure."""
STREAKS: Final = 3e-4
"""Streaks of the heaviest rain per pixel of the picture."""


@compiled()
def smear(  # noqa: PLR0917  # compiled code is called by position
    image: NDArray[np.uint8], left: int, top: int, right: int, bottom: int, dx: float, dy: float
) -> None:
    """Average a rectangle of an image along the way (dx, dy) in pixels that it went in the exposure, in place."""
    length = math.sqrt(dx * dx + dy * dy)
    if length < STILL_PIXELS:
        return
    if length > LONGEST_SMEAR:
        dx, dy = dx * LONGEST_SMEAR / length, dy * LONGEST_SMEAR / length
        length = LONGEST_SMEAR
    left, top = max(0, left), max(0, top)
    right, bottom = min(image.shape[1], right), min(image.shape[0], bottom)
    if right - left < 2 or bottom - top < 2:
        return
    source = image[top:bottom, left:right].copy()
    rows, columns = source.shape[0], source.shape[1]
    samples = math.ceil(length) + 1
    total = np.empty(3)
    for i in range(rows):
        for j in range(columns):
            total[:] = 0.0
            for k in range(samples):
                part = k / (samples - 1) - 0.5
                y = min(rows - 1.001, max(0.0, i + part * dy))
                x = min(columns - 1.001, max(0.0, j + part * dx))
                p, q = int(y), int(x)
                v, u = y - p, x - q
                for c in range(3):
                    above = (1 - u) * source[p, q, c] + u * source[p, q + 1, c]
                    below = (1 - u) * source[p + 1, q, c] + u * source[p + 1, q + 1, c]
                    total[c] += (1 - v) * above + v * below
            for c in range(3):
                image[top + i, left + j, c] = int(total[c] / samples + 0.5)


@compiled()
def draw_streaks(image: NDArray[np.uint8], streaks: NDArray[np.float64], slant: float, glow: float) -> None:
    """Lay streaks of x, y, length and strength, float64[N, 4], over an image, in place; `glow` is their grey level."""
    height, width = image.shape[0], image.shape[1]
    for n in range(streaks.shape[0]):
        x, y, length, strength = streaks[n, 0], streaks[n, 1], streaks[n, 2], streaks[n, 3]
        for k in range(int(length)):
            i, j = int(y + k), int(x + slant * k)
            if i < 0 or j < 0 or i >= height or j >= width:
                continue
            fade = strength * math.sin(math.pi * (k + 0.5) / length)
            for c in range(3):
                image[i, j, c] = int(image[i, j, c] + (glow - image[i, j, c]) * fade)


def draw_rain(image: NDArray[np.uint8], rng: np.random.Generator, strength: float, level: float) -> None:
    """Draw rain over a BGR image, in place; `strength` 0 … 1, `level` the brightness of the place's light."""
    height, width = image.shape[:2]
    count = int(rng.poisson(strength * STREAKS * height * width))
    size = max(height / 720, 0.25)
    streaks = np.column_stack(
        [
            rng.uniform(-10, width + 10, count),
            rng.uniform(-40 * size, height, count),
            rng.uniform(14, 60, count) * size,
            rng.uniform(0.15, 0.55, count),
        ]
    )
    draw_streaks(image, streaks, rng.normal(0.0, 0.15), 225.0 * min(1.0, math.sqrt(level)))
