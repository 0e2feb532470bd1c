"""How the learning rate goes over a training run."""

import math
from typing import Final

WARM_UP: Final = 0.03
"""Share of the steps."""


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return a cosine from the peak to zero, times a linear warm-up over the first `WARM_UP` of the steps."""
    share = step / steps
    return peak * min(1.0, share / WARM_UP + 0.01) * 0.5 * (1.0 + math.cos(math.pi * share))
