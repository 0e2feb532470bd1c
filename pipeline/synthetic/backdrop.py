"""The empty street: facades with windows, a pavement in perspective, and surfaces rough enough for a real JPEG size."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

HORIZON: Final = 0.27
"""Height of the horizon as a share of the frame, from the top."""


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cell: int) -> NDArray[np.float32]:
    """Return value noise with a cell size in pixels, float32[height, width] of mean 0 and a deviation of about 0.5."""
    rows, columns = height // cell + 2, width // cell + 2
    grid = rng.normal(0.0, 1.0, (rows, columns)).astype(np.float32)
    y, x = np.arange(height) / cell, np.arange(width) / cell
    i, j = y.astype(int), x.astype(int)
    p, q = (y - i).astype(np.float32)[:, None], (x - j).astype(np.float32)[None, :]
    across = grid[:, j] * (1 - q) + grid[:, j + 1] * q
    noise: NDArray[np.float32] = across[i] * (1 - p) + across[i + 1] * p
    return noise


def _facade(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Return a row of houses with windows, float32[height, width, 3]."""
    wall = np.empty((height, width, 3), np.float32)
    left = 0
    while left < width:
        right = min(width, left + int(width * rng.uniform(0.12, 0.3)))
        colour = rng.uniform(55, 185) * rng.uniform(0.85, 1.15, 3)
        wall[:, left:right] = colour
        pitch_x, pitch_y = int(height * rng.uniform(0.28, 0.45)) + 2, int(height * rng.uniform(0.4, 0.6)) + 2
        x, y = np.arange(right - left) % pitch_x, np.arange(height) % pitch_y
        pane = (np.abs(x / pitch_x - 0.5) < 0.26)[None, :] & (np.abs(y / pitch_y - 0.45) < 0.3)[:, None]
        wall[:, left:right][pane] = rng.uniform(20, 110) * rng.uniform(0.9, 1.15, 3)
        left = right
    return wall


def backdrop(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Return an empty street, uint8[height, width, 3] BGR."""
    horizon = int(HORIZON * height) + int(0.14 * height)
    picture = np.empty((height, width, 3), np.float32)
    picture[:horizon] = _facade(rng, horizon, width)
    depth = np.arange(1, height - horizon + 1, dtype=np.float32) / height + 0.12
    ground = rng.uniform(70, 150) * rng.uniform(0.93, 1.07, 3)
    across = (np.arange(width, dtype=np.float32) / width - 0.5)[None, :] / depth[:, None]
    along = (1.0 / depth)[:, None]
    joints = ((across * 3.0) % 1.0 < 0.03 / depth[:, None] * 0.12) | ((along * 1.5) % 1.0 < 0.05)
    picture[horizon:] = ground * np.where(joints, 0.78, 1.0)[:, :, None]
    rough = 8.0 * _smooth_noise(rng, height, width, max(2, height // 8))
    rough += 5.0 * _smooth_noise(rng, height, width, max(2, height // 40))
    rough += 4.0 * _smooth_noise(rng, height, width, max(2, height // 180))
    picture += rough[:, :, None] * rng.uniform(0.8, 1.2, 3).astype(np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)
