"""Cohorts: sums, rates, ratios, and what is too small to be compared."""

import numpy as np
import pytest

from pipeline.evaluation.cohorts import EDGES, by_cohort, differentials, histogram
from pipeline.evaluation.searches import Mated, NonMated


def searches(people: int, misses: int, false: int) -> tuple[Mated, NonMated]:
    """As many mated and non-mated searches of different people, the first so many of them wrong at 0.5."""
    index = np.arange(people)
    own = np.where(index < misses, 0.3, 0.8).astype(np.float32)
    best = np.where(index < false, 0.7, 0.1).astype(np.float32)
    return Mated(own, np.ones(people, bool), index, index), NonMated(best, index, index)


def labels(people: int, first: int) -> list[dict[str, str]]:
    """The first so many people wear glasses."""
    return [{"glasses": "yes" if i < first else "no"} for i in range(people)]


def test_cohorts_add_up_to_the_whole() -> None:
    """Histograms and counts of all cohorts of a dimension are those of everybody."""
    mated, others = searches(200, 20, 10)
    found = by_cohort(
        mated, labels(200, 80), others, labels(200, 80), threshold=0.5, rng=np.random.default_rng(0)
    )  # fmt: skip
    assert [(each.dimension, each.name) for each in found] == [("glasses", "no"), ("glasses", "yes")]
    assert np.array_equal(np.sum([each.mated for each in found], axis=0), histogram(mated.own))
    assert sum(each.tpir.trials for each in found) == 200
    assert [each.tpir.events for each in found] == [120, 60]
    assert [each.fpir.events for each in found] == [0, 10]


def test_the_ratio_is_worst_to_best_of_the_error_rates() -> None:
    """Half of 40 against a tenth of 160 miss: five times as many; without a false match there is no ratio."""
    mated, others = searches(200, 20, 10)
    mated = Mated(mated.own, np.arange(200) < 184, mated.person, mated.passage)
    found = by_cohort(mated, labels(200, 40), others, labels(200, 40), threshold=0.5, rng=np.random.default_rng(0))
    misses, false = differentials(found)
    assert (misses.rate, misses.worst, misses.best, misses.distinct) == ("FNIR", "yes", "no", True)
    assert misses.ratio == pytest.approx(5.0)
    assert (false.rate, false.worst, false.ratio) == ("FPIR", "yes", None)
    assert "no event among 160 searches of no" in false.note


def test_a_cohort_of_few_people_has_no_part_in_a_ratio() -> None:
    """And that is said."""
    mated, others = searches(100, 50, 0)
    found = by_cohort(mated, labels(100, 12), others, labels(100, 12), threshold=0.5, rng=np.random.default_rng(0))
    assert [each.too_few for each in found] == [False, True]
    misses, _ = differentials(found)
    assert misses.ratio is None
    assert misses.note == "fewer than 30 people: yes"


def test_a_histogram_counts_found_faces_in_fixed_bins() -> None:
    """Cosines of exactly -1 and 1 lie in the outer bins, and rounding beyond them is no loss."""
    counts = histogram(np.array([-1.0, 1.0, 1.0000001, 0.01, -np.inf], np.float32))
    assert (len(counts), len(EDGES)) == (100, 101)
    assert (counts[0], counts[-1], counts[50], sum(counts)) == (1, 2, 1, 4)


def test_a_search_without_cohorts_is_refused() -> None:
    """Nobody is left out unseen."""
    mated, others = searches(4, 1, 1)
    with pytest.raises(ValueError, match="cohorts"):
        by_cohort(mated, labels(3, 1), others, labels(4, 1), threshold=0.5, rng=np.random.default_rng(0))
