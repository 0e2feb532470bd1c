"""How a texel's colour is moved: what every part of a painted head is made with."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled import compiled

FADED: Final = 6.8
"""Widths d from which exp(-d²) moves no colour: it is far below the least step of a float64."""
FADED_STEEP: Final = 2.7
"""The same of exp(-d⁴)."""


@compiled()
def mix(colour: NDArray[np.float64], other: NDArray[np.float64], amount: float, strength: float = 1.0) -> None:
    """Move a colour towards another one times a strength, in place."""
    for c in range(3):
        colour[c] += (other[c] * strength - colour[c]) * amount


@compiled()
def scale(colour: NDArray[np.float64], blue: float, green: float, red: float) -> None:
    """Multiply the three parts of a colour, in place."""
    colour[0] *= blue
    colour[1] *= green
    colour[2] *= red
