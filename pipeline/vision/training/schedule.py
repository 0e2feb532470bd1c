"""How the learning rate goes over a training run."""

import math
from typing import Final

WARM_UP: Final = 0.03
"""Share of the steps over which the rate rises in a line."""


def warmed_up(share: float) -> float:
    """Return what the learning rate is multiplied by, 0.01 to 1, after a share of the steps."""
    return min(1.0, share / WARM_UP + 0.01)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return a cosine from the peak to zero, times the warm-up."""
    share = step / steps
    return peak * warmed_up(share) * 0.5 * (1.0 + math.cos(math.pi * share))
