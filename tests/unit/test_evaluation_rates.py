"""Rates, thresholds and DET curves on small samples whose answers can be counted."""

import itertools

import numpy as np
import pytest

from pipeline.evaluation.rate import Rate, percent, rate_of, supports
from pipeline.evaluation.rates import LOWEST, det, fpir, threshold_at, tpir
from pipeline.evaluation.searches import Mated, NonMated
from pipeline.runtime.evaluation_rates import tabulated


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def strangers(*best: float, people: int | None = None) -> NonMated:
    """Non-mated searches of as many people, or of `people` in turn."""
    index = np.arange(len(best))
    return NonMated(np.array(best, np.float32), index if people is None else index % people, index)


def listed(*searches: tuple[float, bool]) -> Mated:
    """Mated searches of as many people: own score and whether it came first."""
    own, first = zip(*searches, strict=True)
    index = np.arange(len(searches))
    return Mated(np.array(own, np.float32), np.array(first), index, index)


def test_fpir_counts_searches_at_the_threshold_and_above() -> None:
    """Reaching is enough, and a face that was not found reaches nothing."""
    rate = fpir(strangers(0.5, 0.7, 0.3, -np.inf), 0.5, rng())
    assert (rate.events, rate.trials, rate.people, rate.method) == (2, 4, 4, "clopper-pearson")


def test_tpir_needs_rank_one_and_the_threshold() -> None:
    """A high score at rank 2 is a miss, and so is a face that was not found."""
    rate = tpir(listed((0.9, True), (0.9, False), (0.4, True), (-np.inf, False)), 0.5, rng())
    assert (rate.events, rate.trials) == (1, 4)


def test_several_searches_of_one_person_are_not_taken_as_independent() -> None:
    """The interval is by people, and wider than that of as many independent trials."""
    happened = np.repeat(np.arange(40) < 10, 10)
    clustered = rate_of(happened, np.repeat(np.arange(40), 10), rng())
    independent = rate_of(happened, np.arange(400), rng())
    assert (clustered.people, clustered.trials, clustered.method) == (40, 400, "bootstrap over people")
    assert clustered.low is not None and clustered.high is not None
    assert independent.low is not None and independent.high is not None
    assert clustered.high - clustered.low > 2 * (independent.high - independent.low)


@pytest.mark.parametrize(
    ("events", "trials", "text"),
    [
        (0, 2000, "< 3/2000 = 0.15%"),
        (2000, 2000, "> 1 - 3/2000 = 99.85%"),
        (2, 2000, "2 of 2000 = 0.1%"),
        (3, 2000, "0.15%"),
        (1998, 2000, "1998 of 2000 = 99.90%"),
        (0, 3, "0 of 3"),
        (0, 0, "no trials"),
    ],
)
def test_no_rate_is_said_below_what_the_sample_supports(events: int, trials: int, text: str) -> None:
    """The rule of three takes the place of nought."""
    rate = rate_of(np.arange(trials) < events, np.arange(trials), rng())
    assert rate.text == text
    assert (rate.rate is None) == (events in {0, trials})


def test_the_rule_of_three_counts_people_and_not_their_searches() -> None:
    """Ten searches of one person are no ten people."""
    rate = rate_of(np.zeros(1000, bool), np.arange(1000) % 100, rng())
    assert rate.text == "< 3/100 = 3%"
    assert rate.high == pytest.approx(1 - 0.025 ** (1 / 100), rel=1e-6)
    assert rate.method == "clopper-pearson over people"


def missed(*misses: int, people: int = 200, searches: int = 17) -> Rate:
    """The rate of misses of people with as many searches each, the first of whom have so many misses."""
    by_person = np.zeros(people, np.int64)
    by_person[: len(misses)] = misses
    happened = np.arange(searches) < by_person[:, None]
    return rate_of(happened.ravel(), np.repeat(np.arange(people), searches), rng())


@pytest.mark.parametrize("by_person", [(1,) * 9, (17,) * 9, (17, 1, 1, 1, 1, 1, 1, 1, 1), (1, 1, 9, 1, 17)])
def test_with_few_who_are_missed_each_miss_leaves_more_open(by_person: tuple[int, ...]) -> None:
    """From none on, whether by people who are missed once or by people who always are; hits mirror it."""
    rates = [missed(*by_person[:count]) for count in range(len(by_person) + 1)]
    highs = [rate.high for rate in rates if rate.high is not None]
    assert highs[0] == pytest.approx(1 - 0.025 ** (1 / 200))
    assert len(highs) == len(rates)
    assert all(lower < higher for lower, higher in itertools.pairwise(highs))
    assert all(rate.low is not None and rate.low <= rate.share <= high for rate, high in zip(rates, highs, strict=True))


def test_few_hits_are_as_uncertain_as_few_misses() -> None:
    """The interval of the complement is the mirrored one, down to fewer than ten people in all."""
    for by_person, people in (((3, 1), 200), ((2, 9, 17, 0), 4)):
        rate = missed(*by_person, people=people)
        hits = missed(*(17 - each for each in by_person), *(17,) * (people - len(by_person)), people=people)
        assert rate.method == hits.method == "clopper-pearson, effective searches"
        assert (hits.complement.low, hits.complement.high) == pytest.approx((rate.low, rate.high), abs=1e-9)


@pytest.mark.parametrize("together", [0.0, 0.1, 1.0])
def test_rates_of_one_in_a_thousand_are_in_their_intervals(together: float) -> None:
    """In 95 of 100 samples or more of 200 people with 17 searches each, however much a person's searches go together.

    People have rates of their own, of a beta distribution with `together` as the correlation within a person.
    """
    draw = np.random.default_rng(11)
    people, searches, samples = 200, 17, 250
    person = np.repeat(np.arange(people), searches)
    for rate in (0.001, 0.0015):
        held = 0
        for _ in range(samples):
            if together == 0.0:
                own = np.full(people, rate)
            elif together == 1.0:
                own = (draw.random(people) < rate).astype(float)
            else:
                spread = 1 / together - 1
                own = draw.beta(rate * spread, (1 - rate) * spread, people)
            found = rate_of(draw.random(len(person)) < own[person], person, draw)
            assert found.low is not None and found.high is not None
            held += found.low <= rate <= found.high
        assert held >= 0.95 * samples


def test_the_complement_swaps_hits_for_misses() -> None:
    """And mirrors the interval."""
    assert Rate(3, 10, 10, 0.3, 0.1, 0.6, "clopper-pearson").complement == Rate(
        7, 10, 10, 0.7, 0.4, 0.9, "clopper-pearson"
    )


def test_percentages_keep_three_digits() -> None:
    """However small."""
    assert [percent(x) for x in (0.0, 0.000001234, 0.000042, 0.12345, 0.9985, 1.0)] == [
        "0%", "1.2e-04%", "0.0042%", "12.3%", "99.85%", "100%",
    ]  # fmt: skip


def test_a_share_below_one_never_reads_as_one() -> None:
    """One miss in 30,000, and what no miss in 100,000 supports."""
    assert [percent(x) for x in (1 - 1 / 30_000, 0.999, 0.99985, 1 - 2e-9)] == [
        "99.9967%", "99.90%", "99.985%", "99.99999980%",
    ]  # fmt: skip
    assert rate_of(np.ones(100_000, bool), np.arange(100_000), rng()).text == "> 1 - 3/100000 = 99.9970%"


def test_the_threshold_is_the_least_that_meets_the_target() -> None:
    """Of 1,000 scores a target of 1 % lets ten through, and one step lower would let eleven."""
    searches = strangers(*np.linspace(0.0, 0.999, 1000))
    threshold = threshold_at(searches, 0.01, rng())
    assert fpir(searches, threshold.value, rng()).events == 10
    lower = float(np.nextafter(np.float32(threshold.value), np.float32(-1)))
    assert fpir(searches, lower, rng()).events == 11
    assert threshold.supported
    assert threshold.low is not None and threshold.high is not None
    # 4 … 17 of a binomial of 1,000 at 1 %: between the 18th and the 4th greatest score
    assert (threshold.low, threshold.high) == pytest.approx((0.982, 0.996), abs=1e-6)


def test_the_interval_of_a_threshold_holds_the_true_one() -> None:
    """In 95 % of samples or more; the true threshold of a uniform score is 1 minus the target."""
    draw = np.random.default_rng(3)
    held = 0
    for _ in range(300):
        threshold = threshold_at(strangers(*draw.random(500)), 0.02, draw)
        assert threshold.low is not None and threshold.high is not None
        held += threshold.low <= 0.98 <= threshold.high
    assert held >= 0.93 * 300


def test_a_sample_too_small_for_its_target_says_so() -> None:
    """1,000 searches cannot show one in 10,000: the threshold lies above all scores, and has no upper end."""
    threshold = threshold_at(strangers(*np.linspace(0.0, 0.999, 1000)), 1e-4, rng())
    assert not threshold.supported
    assert threshold.needed == 30_000
    assert threshold.high is None
    assert threshold.value > 0.999


def test_a_threshold_for_a_larger_gallery_is_that_of_its_independent_parts() -> None:
    """Best scores of ten parts; chosen on those of one, the whole has the target within what the interval allows."""
    draw = np.random.default_rng(4)
    threshold = threshold_at(strangers(*draw.random(3000)), 0.1, draw, times=10)
    assert threshold.low is not None and threshold.high is not None
    assert threshold.share == pytest.approx(1 - 0.9**0.1)
    whole = draw.random((50_000, 10)).max(axis=1)
    assert (whole >= threshold.high).mean() < 0.1 < (whole >= threshold.low).mean()
    assert (whole >= threshold.value).mean() == pytest.approx(0.1, rel=0.4)
    assert threshold.needed == 287


def test_people_who_are_like_many_make_the_threshold_of_parts_a_strict_one() -> None:
    """Who is like somebody in one part is so more often in another: as many matches are of fewer people."""
    draw = np.random.default_rng(6)
    likeness = draw.normal(0.0, 1.0, 40_000)
    threshold = threshold_at(strangers(*(likeness[:20_000] + 0.3 * draw.gumbel(size=20_000))), 0.1, draw, times=10)
    whole = likeness[20_000:] + 0.3 * draw.gumbel(size=(10, 20_000)).max(axis=0)
    assert 0.02 < (whole >= threshold.value).mean() < 0.06


def test_a_target_that_is_just_supported_is_so_in_binary_too() -> None:
    """Ten thousand people support three in ten thousand."""
    assert 3e-4 * 10_000 < 3.0
    assert supports(10_000, 3e-4)
    assert not supports(9_999, 3e-4)
    threshold = threshold_at(strangers(*np.linspace(0.0, 0.9999, 20_000), people=10_000), 3e-4, rng())
    assert threshold.supported
    assert threshold.high is not None


def test_targets_are_tabulated_as_far_as_both_samples_support_them() -> None:
    """A tenth of the gallery to choose with takes ten times the people there, and none more to test on."""
    assert tabulated(1e-3, 10_000, 10_000, 1.0) == (1e-3, 1e-1, 3e-2, 1e-2, 3e-3, 3e-4)
    assert tabulated(0.05, 3_000, 1_000, 10.0) == (0.05, 1e-1, 3e-2, 1e-2)
    assert tabulated(0.05, 2_900, 1_000, 10.0) == (0.05, 1e-1, 3e-2)
    assert tabulated(1e-4, 40, 10_000, 1.0) == (1e-4, 1e-1)


def test_what_a_larger_gallery_asks_of_the_sample_is_what_its_part_does() -> None:
    """A tenth of the target takes ten times the searches; the interval by bootstrap has no upper end then, either."""
    scores = np.linspace(0.0, 0.999, 1000)
    whole, part = (threshold_at(strangers(*scores), 0.01, rng(), times) for times in (1.0, 10.0))
    assert (whole.supported, whole.needed, whole.share) == (True, 300, 0.01)
    assert (part.supported, part.needed, part.target) == (False, 2987, 0.01)
    assert part.value > whole.value
    assert threshold_at(strangers(*scores, people=500), 0.01, rng()).high is not None
    assert threshold_at(strangers(*scores, people=500), 0.01, rng(), 10.0).high is None


def test_searches_of_few_people_have_their_threshold_by_bootstrap() -> None:
    """The number of people, not of searches, decides what is supported."""
    threshold = threshold_at(strangers(*np.linspace(0.0, 0.999, 1000), people=50), 0.01, rng())
    assert (threshold.method, threshold.people, threshold.supported) == ("bootstrap over people", 50, False)
    assert threshold.low is not None and threshold.low <= threshold.value


def test_faces_that_were_not_found_never_set_the_threshold() -> None:
    """With a target beyond all found faces everything may pass."""
    assert threshold_at(strangers(0.4, -np.inf, -np.inf, -np.inf), 0.5, rng()).value == LOWEST


@pytest.mark.parametrize(("target", "times"), [(0.0, 1.0), (1.0, 1.0), (-0.1, 1.0), (0.1, 0.5)])
def test_impossible_targets_are_refused(target: float, times: float) -> None:
    """A target is a share, and nothing is chosen with a larger gallery than it is for."""
    with pytest.raises(ValueError, match="threshold"):
        threshold_at(strangers(0.1, 0.2), target, rng(), times)


def test_a_det_curve_is_what_its_thresholds_give() -> None:
    """Each point again from the searches, and none of fewer than three of them."""
    draw = np.random.default_rng(5)
    others = strangers(*draw.normal(0.2, 0.1, 400))
    own = listed(*((float(score), bool(score > 0.1)) for score in draw.normal(0.5, 0.2, 300)))
    curve = det(own, others)
    assert len(curve.threshold) > 50
    assert curve.fpir.min() >= 3 / 400
    assert curve.fnir.min() >= 3 / 300
    for threshold, false, missed in zip(curve.threshold, curve.fpir, curve.fnir, strict=True):
        assert fpir(others, threshold, rng()).share == pytest.approx(false)
        assert 1 - tpir(own, threshold, rng()).share == pytest.approx(missed)


def test_a_det_curve_goes_down_to_three_people_who_err() -> None:
    """However many searches they have: 3,400 of 200 people show an FNIR far below 3 / 200."""
    person = np.arange(3400) % 200
    own = np.linspace(0.2, 0.9, 3400).astype(np.float32)
    mated = Mated(own, np.ones(3400, bool), person, np.arange(3400))
    others = strangers(*np.linspace(0.0, 0.25, 3000))
    curve = det(mated, others)
    assert 3 / 3400 <= curve.fnir.min() < 0.5 * 3 / 200
    assert curve.fpir.min() >= 3 / 3000
    two_err = Mated(own, np.ones(3400, bool), np.where(own < 0.22, person % 2, person), np.arange(3400))
    early = int((own < 0.22).sum())
    assert early > 10
    assert det(two_err, others).fnir.min() >= (early + 1) / 3400


def test_there_is_no_det_curve_without_both_kinds_of_searches() -> None:
    """Nothing is made up."""
    none = Mated(np.empty(0, np.float32), np.empty(0, bool), np.empty(0, np.int64), np.empty(0, np.int64))
    assert not len(det(none, strangers(0.1, 0.2, 0.3, 0.4)).fpir)
