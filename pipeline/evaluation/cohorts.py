"""Differentials: how scores and rates differ between cohorts, of which only sums are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.rate import FEWEST, Rate
from pipeline.evaluation.rates import fpir, tpir
from pipeline.evaluation.searches import Mated, NonMated

BINS: Final = 100
EDGES: Final[NDArray[np.float64]] = np.linspace(-1.0, 1.0, BINS + 1)
"""Edges of the histograms' bins, float64[101]; the same for every cohort and run, so that histograms add up."""
FEWEST_PEOPLE: Final = FEWEST
"""A cohort of fewer people has its rates, and no part in a ratio."""

Labels = Sequence[Mapping[str, str]]
"""Per search: the cohort of the probe by dimension, such as {"glasses": "yes"}."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Searches of one cohort added up: histograms of scores, faces that were not found, and rates at a threshold."""

    dimension: str
    name: str
    mated: tuple[int, ...]
    non_mated: tuple[int, ...]
    mated_not_acquired: int
    non_mated_not_acquired: int
    tpir: Rate
    fpir: Rate

    @property
    def too_few(self) -> bool:
        """Whether either rate is of too few people to be compared."""
        return min(self.tpir.people, self.fpir.people) < FEWEST_PEOPLE


@dataclass(frozen=True, slots=True)
class Differential:
    """The worst and the best cohort of a dimension by one error rate (FNIR or FPIR), and their ratio.

    `ratio` is None, and `note` says why, where it can't be formed. `distinct` says whether the intervals of the two
    are apart. The extremes of several cohorts differ by chance, too: a ratio above 1 alone shows nothing.
    """

    dimension: str
    rate: str
    worst: str | None
    best: str | None
    ratio: float | None
    distinct: bool
    note: str


def histogram(scores: NDArray[np.float32]) -> tuple[int, ...]:
    """Return how many finite scores lie in each of the 100 bins of `EDGES`."""
    finite = np.clip(scores[np.isfinite(scores)], -1.0, 1.0)
    return tuple(int(count) for count in np.histogram(finite, EDGES)[0])


def by_cohort(
    mated: Mated,
    mated_labels: Labels,
    non_mated: NonMated,
    non_mated_labels: Labels,
    *,
    threshold: float,
    rng: np.random.Generator,
) -> list[Cohort]:
    """Return the sums of every cohort, in the order of dimension and name. A non-mated search is its probe's cohort's.

    Raises ValueError unless there is a label for each search.
    """
    if len(mated) != len(mated_labels) or len(non_mated) != len(non_mated_labels):
        raise ValueError("every search needs its cohorts")
    names = sorted({item for labels in (*mated_labels, *non_mated_labels) for item in labels.items()})
    cohorts = []
    for dimension, name in names:
        here = _chosen(mated_labels, dimension, name)
        there = _chosen(non_mated_labels, dimension, name)
        own = Mated(mated.own[here], mated.rank_one[here], mated.person[here], mated.passage[here])
        others = NonMated(non_mated.best[there], non_mated.person[there], non_mated.passage[there])
        cohorts.append(
            Cohort(
                dimension,
                name,
                histogram(own.own),
                histogram(others.best),
                int((~own.acquired).sum()),
                int((~others.acquired).sum()),
                tpir(own, threshold, rng),
                fpir(others, threshold, rng),
            )
        )
    return cohorts


def _chosen(labels: Labels, dimension: str, name: str) -> NDArray[np.bool_]:
    return np.array([each.get(dimension) == name for each in labels], bool)


def differentials(cohorts: Sequence[Cohort]) -> list[Differential]:
    """Return, for each dimension, the ratio of worst to best of FNIR (1 - TPIR) and of FPIR."""
    out = []
    for dimension in dict.fromkeys(cohort.dimension for cohort in cohorts):
        of = [cohort for cohort in cohorts if cohort.dimension == dimension]
        out.append(_extremes(dimension, "FNIR", {each.name: each.tpir.complement for each in of}))
        out.append(_extremes(dimension, "FPIR", {each.name: each.fpir for each in of}))
    return out


def _extremes(dimension: str, rate: str, rates: Mapping[str, Rate]) -> Differential:
    """Return the ratio of the extremes among the cohorts with enough people."""
    few = [name for name, each in rates.items() if each.people < FEWEST_PEOPLE]
    shares = {name: each.share for name, each in rates.items() if name not in few}
    note = f"fewer than {FEWEST_PEOPLE} people: {', '.join(few)}" if few else ""
    if len(shares) < 2:
        return Differential(dimension, rate, None, None, None, False, note or "a single cohort")
    worst, best = max(shares, key=lambda name: shares[name]), min(shares, key=lambda name: shares[name])
    low, high = rates[worst].low, rates[best].high
    distinct = low is not None and high is not None and low > high
    if shares[best] == 0.0:
        seen = f"no event among {rates[best].trials} searches of {best}, so no ratio"
        return Differential(dimension, rate, worst, best, None, distinct, "; ".join(filter(None, [seen, note])))
    return Differential(dimension, rate, worst, best, shares[worst] / shares[best], distinct, note)
