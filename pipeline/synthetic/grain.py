"""Sensor noise, cheap enough for every frame: one tile of noise, laid over a picture from a varying offset."""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled import compiled
from pipeline.synthetic.seeds import Purpose, generator

TILE: Final = (1 << 20) + 7
STRENGTH: Final = 1.6
"""Standard deviation in grey levels."""


@compiled()
def add_tile(image: NDArray[np.uint8], tile: NDArray[np.int8], offset: int, sixteenths: int) -> None:
    """Add a noise tile, repeated from an offset, times sixteenths, to an image, in place, clipped to 0 … 255."""
    flat = image.reshape(-1)
    scaled = np.empty(min(tile.size, flat.size), np.int16)
    start, position = 0, offset % tile.size
    while start < flat.size:
        length = min(flat.size - start, tile.size - position)
        # views from their beginning, 32 bits at most: compiled to many pixels at once, a ninth of the time
        pixels, noise = flat[start : start + length], tile[position : position + length]
        for i in range(length):
            scaled[i] = (noise[i] * sixteenths + 8) >> 4
        for i in range(length):
            value = np.int32(pixels[i]) + np.int32(scaled[i])
            pixels[i] = np.uint8(min(np.int32(255), max(np.int32(0), np.int32(value))))
        start += length
        position = 0


@lru_cache(maxsize=1)
def _tile() -> NDArray[np.int8]:
    """Return the noise that all pictures share."""
    noise = generator(Purpose.GRAIN, 0).normal(0.0, STRENGTH, TILE)
    return np.clip(np.rint(noise), -12, 12).astype(np.int8)


def add_grain(image: NDArray[np.uint8], offset: int, strength: float = 1.0) -> None:
    """Add sensor noise to a contiguous image, in place; the offset chooses it, and strength 1 is 1.6 grey levels."""
    add_tile(image, _tile(), offset, round(16 * strength))
