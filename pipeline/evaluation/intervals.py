"""Confidence intervals of error rates."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

_STEPS: Final = 80
_TINY: Final = 1e-300
REPLICATES: Final = 2000
"""Resamples of a bootstrap."""


def binomial_tail(events: float, trials: float, rate: float) -> float:
    """Return the probability of `events` or more among `trials` of a binomial, the beta function I_rate(k, n - k + 1).

    Neither need be whole: the function goes on between the counts. The continued fraction is that of DLMF 8.17.22
    (Lentz's method), so a million trials cost no more than ten.
    """
    if events <= 0 or rate >= 1.0:
        return 1.0
    if rate <= 0.0 or events >= trials + 1.0:
        return 0.0
    a, b = float(events), trials - events + 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(rate) + b * math.log1p(-rate)
    front = math.exp(log_front)
    if rate < (a + 1.0) / (a + b + 2.0):
        return min(1.0, front * _fraction(a, b, rate) / a)
    return max(0.0, 1.0 - front * _fraction(b, a, 1.0 - rate) / b)


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function."""
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, 20_000):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _not_zero(1.0 + factor * d)
            c = _not_zero(1.0 + factor / c)
            value *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _solve(events: float, trials: float, probability: float) -> float:
    """Return the rate at which `events` or more have a given probability (bisection; the tail rises with the rate)."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        if binomial_tail(events, trials, middle) < probability:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def clopper_pearson(events: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a rate from independent trials (Clopper and Pearson 1934).

    Neither need be whole: with `effective_trials` it is the interval of Korn and Graubard. Raises ValueError unless
    0 ≤ events ≤ trials, trials > 0 and 0 < confidence < 1.
    """
    if not (0 <= events <= trials and trials > 0):
        raise ValueError(f"{events} events among {trials} trials make no rate")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"a confidence of {confidence} is not between 0 and 1")
    side = (1.0 - confidence) / 2
    lower = 0.0 if events == 0 else _solve(events, trials, side)
    upper = 1.0 if events == trials else _solve(events + 1, trials, 1.0 - side)
    return lower, upper


def binomial_range(trials: int, rate: float, confidence: float = 0.95) -> tuple[int, int]:
    """Return counts a ≤ b such that a binomial is below a, and above b, with at most half of 1 - `confidence` each."""
    side = (1.0 - confidence) / 2
    low = _least(trials, lambda count: 1.0 - binomial_tail(count + 1, trials, rate) > side)
    high = _least(trials, lambda count: binomial_tail(count + 1, trials, rate) <= side)
    return low, high


def _least(trials: int, holds: Callable[[int], bool]) -> int:
    """Return the least count from which on a condition holds (bisection; it holds for all counts above)."""
    low, high = 0, trials
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def effective_trials(events: NDArray[np.int64], trials: NDArray[np.int64]) -> float:
    """Return how many independent trials say as much as those of people, int64[P] each, of whom some have several.

    That is trials ÷ design effect (Korn and Graubard 1998, Survey Methodology 24:193): the variance of the rate as the
    people differ (linearised, as of a ratio) over that of independent trials. Between as many as people and as trials.
    """
    people, total = len(trials), float(trials.sum())
    share = float(events.sum()) / total
    apart = float(np.square(events - share * trials).sum())
    if people < 2 or apart == 0.0:  # nobody to compare with; nobody differs
        return float(people) if people < 2 else total
    variance = people / (people - 1) * apart / total**2
    return float(np.clip(share * (1.0 - share) / variance, people, total))


def cluster_bootstrap(
    events: NDArray[np.int64],
    trials: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    replicates: int = REPLICATES,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile interval of Σ events ÷ Σ trials when whole people are drawn again, with replacement.

    `events` and `trials` are int64[P], one number a person (Efron and Tibshirani 1993, chapter 13; ISO/IEC 19795-1
    names it for searches that are not independent). People of equal counts are drawn together, from a multinomial.
    Raises ValueError without people or trials.
    """
    if not len(events) or trials.sum() <= 0:
        raise ValueError("a bootstrap needs at least one person with a trial")
    kinds, members = np.unique(np.stack([events, trials], axis=1), axis=0, return_counts=True)
    drawn = rng.multinomial(int(members.sum()), members / members.sum(), size=replicates)
    totals = drawn @ kinds
    rates = totals[:, 0] / np.maximum(totals[:, 1], 1)
    side = 50.0 * (1.0 - confidence)
    low, high = np.percentile(rates, [side, 100.0 - side])
    return float(low), float(high)
