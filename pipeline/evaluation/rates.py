"""FPIR, TPIR, DET curves and the threshold for a target (ISO/IEC 19795-1:2021; NIST FRTE 1:N, NISTIR 8271)."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.intervals import binomial_range
from pipeline.evaluation.rate import FEWEST_EVENTS, RULE_OF_THREE, SLACK, Rate, rate_of, supports
from pipeline.evaluation.searches import Mated, NonMated

LOWEST: Final = -1.0
"""The least cosine: a threshold that everything reaches."""
REPLICATES: Final = 500


def fpir(searches: NonMated, threshold: float, rng: np.random.Generator) -> Rate:
    """Return FPIR(N, T): the share of non-mated searches with an entry at T or more."""
    return rate_of(searches.best >= np.float32(threshold), searches.person, rng)


def tpir(searches: Mated, threshold: float, rng: np.random.Generator) -> Rate:
    """Return TPIR(N, T, 1): the share of mated searches whose own entry is at rank 1 and at T or more.

    It is 1 - FNIR; a probe in which no face was found is a miss.
    """
    return rate_of(searches.counted >= np.float32(threshold), searches.person, rng)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold for a target FPIR; `low` … `high` is the 95 % interval, where None is beyond all scores.

    `share` of the searches that it was chosen on may reach it: the target, or less if the target is that of a larger
    gallery. `supported` says whether the sample is large enough: 3 ÷ share independent searches.
    """

    target: float
    share: float
    value: float
    low: float | None
    high: float | None
    trials: int
    people: int
    method: str
    supported: bool

    @property
    def interval(self) -> str:
        """The interval in words: from -1 if no score bounds it from below, to ? if none does from above."""
        low = "-1" if self.low is None else f"{self.low:.4f}"
        return f"{low} to {'?' if self.high is None else f'{self.high:.4f}'}"

    @property
    def needed(self) -> int:
        """How many searches of different people the target takes at least."""
        return int(np.ceil(RULE_OF_THREE / self.share - SLACK))


def share_in_part(target: float, times: float) -> float:
    """Return the FPIR in a part of a gallery `times` as large at which the whole has the FPIR `target`.

    The whole stays silent if all parts do, which are taken to be independent. If some people are like many others, more
    often find somebody in several parts, and the whole has a lower FPIR (Jensen's inequality); if some entries attract
    many people, galleries that have them have a higher one.
    """
    return target if times == 1.0 else -math.expm1(math.log1p(-target) / times)


def threshold_at(searches: NonMated, target: float, rng: np.random.Generator, times: float = 1.0) -> Threshold:
    """Return the least threshold that gives at most the FPIR `target` by non-mated searches, with its interval.

    The target is that of a gallery `times` as large as the one that was searched (see `share_in_part`). With one search
    a person the interval lies between order statistics: the number of scores above the true threshold is binomial
    (David and Nagaraja 2003, section 7.1). Otherwise people are drawn again. Raises ValueError without a search, unless
    0 < target < 1, or for a smaller gallery.
    """
    if not len(searches) or not 0.0 < target < 1.0 or times < 1.0:
        raise ValueError(
            f"no threshold follows from {len(searches)} searches for a target of {target} in {times} times the gallery"
        )
    share = share_in_part(target, times)
    order = np.argsort(-searches.best, kind="stable")
    ordered, count = searches.best[order], len(searches)
    _, person = np.unique(searches.person, return_inverse=True)
    people = int(person.max()) + 1
    value = above(ordered, int(share * count + SLACK))
    low: float | None
    high: float | None
    if people == count:
        fewest, most = binomial_range(count, share)
        low = _finite(float(ordered[most])) if most < count else None
        high = _finite(float(ordered[fewest - 1])) if fewest > 0 else None
        method = "order statistics"
    else:
        values = _resampled(ordered, person[order], people, share, rng)
        low, high = (float(end) for end in np.percentile(values, [2.5, 97.5]))
        high = high if supports(people, share) else None
        method = "bootstrap over people"
    return Threshold(target, share, value, low, high, count, people, method, supports(people, share))


def above(ordered: NDArray[np.float32], allowed: int) -> float:
    """Return the least float32 that at most `allowed` of the scores, the greatest first, reach."""
    if allowed >= len(ordered) or not np.isfinite(ordered[allowed]):
        return LOWEST
    return float(np.nextafter(ordered[allowed], np.float32(np.inf)))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _resampled(
    ordered: NDArray[np.float32], person: NDArray[np.int64], people: int, share: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the thresholds of samples in which whole people are drawn again, float64[REPLICATES]."""
    out = np.empty(REPLICATES)
    for replicate in range(REPLICATES):
        weights = np.bincount(rng.integers(people, size=people), minlength=people)[person]
        reached = np.cumsum(weights)
        allowed = int(share * reached[-1] + SLACK)
        out[replicate] = above(ordered, int(np.searchsorted(reached, allowed, side="right")))
    return out


@dataclass(frozen=True, slots=True)
class Det:
    """A DET curve: thresholds that fall, FPIR that rises and FNIR that falls with them, float64[K] each."""

    threshold: NDArray[np.float64]
    fpir: NDArray[np.float64]
    fnir: NDArray[np.float64]


def det(mated: Mated, non_mated: NonMated, points: int = 200) -> Det:
    """Return the DET curve at up to `points` rates, evenly in the logarithm of FPIR; it has no interval.

    It holds no point of fewer than three false matches or misses, or of fewer than three people's: a single search more
    or less would move it far. Empty without enough searches of both kinds.
    """
    count = len(non_mated)
    if min(count, len(mated)) < FEWEST_EVENTS:
        empty = np.empty(0)
        return Det(empty, empty, empty)
    order, hits_order = np.argsort(-non_mated.best, kind="stable"), np.argsort(mated.counted, kind="stable")
    ordered, hits = non_mated.best[order], mated.counted[hits_order]
    allowed = np.unique(np.geomspace(FEWEST_EVENTS, count, points).astype(np.int64))
    thresholds = np.array([above(ordered, int(each)) for each in allowed])
    reach = thresholds.astype(np.float32)
    false = count - np.searchsorted(ordered[::-1], reach, side="left")
    missed = np.searchsorted(hits, reach, side="left")
    of_people = np.minimum(_people(non_mated.person[order])[false], _people(mated.person[hits_order])[missed])
    # as many people have as many events at least
    shown = of_people >= FEWEST_EVENTS
    return Det(thresholds[shown], false[shown] / count, missed[shown] / len(mated))


def _people(person: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many people the first 0 … M of the searches of people, int64[M], are of, int64[M + 1]."""
    first = np.zeros(len(person) + 1, np.int64)
    first[np.unique(person, return_index=True)[1] + 1] = 1
    return np.cumsum(first)
