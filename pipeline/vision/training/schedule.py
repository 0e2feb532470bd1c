"""How the learning rate goes over a training run."""

import math
from typing import Final

WARM_UP: Final = 0.03
"""Share of the steps."""


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over 3 % of the steps, then a cosine to zero."""
    share = step / steps
    return peak * min(1.0, share / WARM_UP + 0.01) * 0.5 * (1.0 + math.cos(math.pi * share))
