"""Confidence intervals of error rates."""

import math
from typing import Final

_STEPS: Final = 80


def _tail(events: int, trials: int, rate: float) -> float:
    """Return the probability of `events` or more among `trials` of a binomial."""
    if events <= 0 or rate >= 1.0:
        return 1.0
    if rate <= 0.0:
        return 0.0
    if events > trials * rate:
        return math.fsum(_terms(events, trials + 1, trials, rate))
    return 1.0 - math.fsum(_terms(0, events, trials, rate))


def _terms(first: int, end: int, trials: int, rate: float) -> list[float]:
    """Return the binomial probabilities of first … end - 1 events."""
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    whole = math.lgamma(trials + 1)
    return [
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * log_rate + (trials - k) * log_rest)
        for k in range(first, end)
    ]


def _solve(events: int, trials: int, probability: float) -> float:
    """Return the rate at which `events` or more have a given probability (bisection; the tail rises with the rate)."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        if _tail(events, trials, middle) < probability:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def clopper_pearson(events: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a rate from independent trials (Clopper and Pearson 1934).

    Raises ValueError unless 0 ≤ events ≤ trials, trials > 0 and 0 < confidence < 1.
    """
    if not (0 <= events <= trials and trials > 0):
        raise ValueError(f"{events} events among {trials} trials make no rate")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"a confidence of {confidence} is not between 0 and 1")
    side = (1.0 - confidence) / 2
    lower = 0.0 if events == 0 else _solve(events, trials, side)
    upper = 1.0 if events == trials else _solve(events + 1, trials, 1.0 - side)
    return lower, upper
