"""What lies over the skin in a painted head: hair or cloth, a scarf, glasses."""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled import inlined
from pipeline.synthetic.geometry import blend
from pipeline.synthetic.identities import Shape
from pipeline.synthetic.looks import Style
from pipeline.synthetic.strokes import FADED_STEEP, mix


@inlined
def paint_top(  # noqa: PLR0917  # compiled code is called by position
    colour: NDArray[np.float64],
    y: float,
    a: float,
    w: Style,
    hair: NDArray[np.float64],
    cloth: NDArray[np.float64],
    cover: float,
    n: float,
    strand: float,
) -> None:
    """Hair, or the cloth of a headscarf or a cap."""
    if w.headscarf > 0:
        mix(colour, cloth, cover, 0.88 + 0.1 * math.sin(9.0 * y + 5.0 * a) + 0.06 * (n - 0.5))
    elif w.cap > 0 and y > 0.45:
        mix(colour, cloth, cover)
    else:
        mix(colour, hair, cover, 0.72 + 0.4 * strand)


@inlined
def paint_scarf(  # noqa: PLR0917  # compiled code is called by position
    colour: NDArray[np.float64], x: float, y: float, s: Shape, cloth: NDArray[np.float64], n: float
) -> None:
    """A scarf from below the nose down, in folds."""
    edge = s.eye_y - s.nose_length - 0.06 - 0.06 * abs(x)
    folds = 0.85 + 0.12 * math.sin(14.0 * y + 2.0 * x) + 0.1 * (n - 0.5)
    mix(colour, cloth, 1 - blend(y, edge - 0.02, edge + 0.02), folds)


@inlined
def paint_glasses(  # noqa: PLR0917  # compiled code is called by position
    colour: NDArray[np.float64], x: float, y: float, a: float, s: Shape, w: Style, rim: NDArray[np.float64]
) -> None:
    """A rim around each eye, the bridge and the temples."""
    dx, dy = abs(x) - s.eye_spacing, y - s.eye_y + 0.03
    faded = FADED_STEEP * w.glasses_rim
    outside = max(abs(dx) / w.glasses_width, abs(dy) / w.glasses_height) - 1.0
    if outside * w.glasses_height > faded and abs(dy - 0.055) > 0.005 + faded:  # nor at the bridge or a temple
        return
    p = w.glasses_square
    reach = ((abs(dx) / w.glasses_width) ** p + (abs(dy) / w.glasses_height) ** p) ** (1 / p)
    ring = math.exp(-(((reach - 1.0) * w.glasses_height / w.glasses_rim) ** 4))
    if abs(x) < s.eye_spacing - w.glasses_width + 0.02:
        ring = max(ring, math.exp(-(((dy - 0.05) / w.glasses_rim) ** 4)))
    if abs(x) > s.eye_spacing + w.glasses_width - 0.02 and abs(a) < 1.75:
        ring = max(ring, math.exp(-(((dy - 0.06) / w.glasses_rim) ** 4)))
    if reach < 1.0:
        mix(colour, np.array([0.75, 0.75, 0.75]), 0.08)
    mix(colour, rim, min(1.0, ring))
