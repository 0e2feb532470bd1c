"""From probes and a gallery to rates: the searches of an evaluation, and what is said of them."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.cohorts import by_cohort, differentials
from pipeline.evaluation.exact import search
from pipeline.evaluation.rate import rate_of, supports
from pipeline.evaluation.rates import det, fpir, share_in_part, threshold_at, tpir
from pipeline.evaluation.searches import Mated, NonMated
from pipeline.runtime.evaluation_probes import Trial
from pipeline.runtime.evaluation_results import DetPoint, Operating, Result, Sample
from pipeline.synthetic.seeds import Population, group
from pipeline.vision.probing import Probes

TARGETS: Final = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
"""FPIR that are tabulated beside the wanted one, as far as both samples support them."""
ABSENT: Final = np.float32(-np.inf)


class Searched(NamedTuple):
    """The searches of a test, frame by frame; a pass in which no face was found has one row of -inf."""

    non_mated: NonMated
    mated: Mated
    on_no_face: NDArray[np.float32]
    """The best score of every box that lay on no face, float32[B]; not part of a rate."""


class Passes(NamedTuple):
    """Searches by pass: those that thresholds are chosen on, and those that they are tested on."""

    choice: NonMated
    non_mated: NonMated
    mated: Mated


class Case(NamedTuple):
    """One difficulty with one gallery, and all its searches."""

    difficulty: str
    gallery: int
    choice_gallery: int
    """Entries that `choice` was searched in."""
    trial: Trial
    choice: NonMated
    searched: Searched


def search_non_mated(probes: Probes, gallery: NDArray[np.float32]) -> NonMated:
    """Search people who are not in a gallery float32[N, d]; persons are numbered, not named."""
    passage, absent = _passages(probes)
    best = np.concatenate([search(probes.templates, gallery).best, np.full(absent, ABSENT)])
    return NonMated(best, _numbered(probes.people)[passage], passage)


def search_mated(probes: Probes, gallery: NDArray[np.float32], first: int, shift: int = 0) -> Mated:
    """Search people of a gallery float32[N, d] whose row is their identity seed minus `first`.

    With a `shift` each is compared with the entry so many rows on, somebody else's: the labels are shuffled.
    """
    passage, absent = _passages(probes)
    rows = (probes.people - first + shift) % len(gallery)
    answers = search(probes.templates, gallery, rows[probes.passage])
    own = np.concatenate([answers.own, np.full(absent, ABSENT)])
    rank_one = np.concatenate([answers.row == rows[probes.passage], np.zeros(absent, bool)])
    return Mated(own, rank_one, _numbered(probes.people)[passage], passage)


def search_all(trial: Trial, gallery: NDArray[np.float32], seed: int, shuffle_labels: bool) -> Searched:
    """Run the searches of a test in the gallery of a seed, float32[N, d]."""
    first = group(Population.WATCHLIST, seed, 1)[0]
    shift = int(np.random.default_rng(seed).integers(1, len(gallery))) if shuffle_labels else 0
    return Searched(
        search_non_mated(trial.non_mated, gallery),
        search_mated(trial.mated, gallery, first, shift),
        search(trial.on_no_face, gallery).best,
    )


def _passages(probes: Probes) -> tuple[NDArray[np.int64], int]:
    """Return the pass of every row, those without a face at the end, and how many these are."""
    absent = np.setdiff1d(np.arange(len(probes)), probes.passage)
    return np.concatenate([probes.passage, absent]).astype(np.int64), len(absent)


def _numbered(people: NDArray[np.int64]) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = np.unique(people, return_inverse=True)[1].astype(np.int64)
    return numbers


def tabulated(wanted: float, choosing: int, testing: int, times: float) -> tuple[float, ...]:
    """Return the wanted FPIR and the others that so many people support, whom thresholds are chosen and tested on.

    The gallery of the test is so many `times` as large as that of the choice.
    """
    return wanted, *(
        each
        for each in TARGETS
        if supports(testing, each) and supports(choosing, share_in_part(each, times)) and not np.isclose(each, wanted)
    )


def operating_points(
    searches: Passes, target: float, shipped: float, times: float, rng: np.random.Generator
) -> list[Operating]:
    """Return the rates at the threshold of the wanted target, of the others that are tabulated, and at the shipped one.

    The gallery of the test is so many `times` as large as that of the choice.
    """
    choice, tested, mated = searches
    targets = tabulated(target, len(np.unique(choice.person)), len(np.unique(tested.person)), times)
    thresholds = [threshold_at(choice, each, rng, times) for each in targets]
    return [
        Operating(threshold=value, chosen=chosen, fpir=fpir(tested, value, rng), tpir=tpir(mated, value, rng))
        for value, chosen in [*((each.value, each) for each in thresholds), (shipped, None)]
    ]


def assess(case: Case, target: float, shipped: float, rng: np.random.Generator) -> Result:
    """Return the figures of one difficulty with one gallery, searches brought together by pass."""
    choice, tested = case.choice.per_pass(), case.searched.non_mated.per_pass()
    mated = case.searched.mated.per_pass()
    searches = Passes(choice, tested, mated)
    operating = operating_points(searches, target, shipped, case.gallery / case.choice_gallery, rng)
    value = operating[0].threshold
    cohorts = by_cohort(
        mated,
        [label._asdict() for label in case.trial.mated.cohorts],
        tested,
        [label._asdict() for label in case.trial.non_mated.cohorts],
        threshold=value,
        rng=rng,
    )
    curve = det(mated, tested)
    return Result(
        difficulty=case.difficulty,
        gallery=case.gallery,
        choice_gallery=case.choice_gallery,
        choice=_sample(choice, case.choice, rng),
        non_mated=_sample(tested, case.searched.non_mated, rng),
        mated=_sample(mated, case.searched.mated, rng),
        mated_beyond_distance=case.trial.beyond,
        boxes_on_no_face=len(case.searched.on_no_face),
        boxes_on_no_face_over_threshold=int((case.searched.on_no_face >= np.float32(value)).sum()),
        operating=tuple(operating),
        det=tuple(
            DetPoint(float(t), float(f), float(m))
            for t, f, m in zip(curve.threshold, curve.fpir, curve.fnir, strict=True)
        ),
        cohorts=tuple(cohorts),
        differentials=tuple(differentials(cohorts)),
    )


def _sample(searches: Mated | NonMated, frames: Mated | NonMated, rng: np.random.Generator) -> Sample:
    return Sample(
        searches=len(searches),
        people=len(np.unique(searches.person)),
        frames=int(frames.acquired.sum()),
        not_acquired=rate_of(~searches.acquired, searches.person, rng),
    )


def columns(name: str, choice: NonMated, searched: Searched) -> Mapping[str, NDArray[Any]]:
    """Return the columns of `scores.npz` for one difficulty and gallery: scores by frame, and no template."""
    mated, others = searched.mated, searched.non_mated
    return {
        f"{name}_choice_best": choice.best,
        f"{name}_choice_person": choice.person,
        f"{name}_choice_pass": choice.passage,
        f"{name}_choice_acquired": choice.acquired,
        f"{name}_nonmated_best": others.best,
        f"{name}_nonmated_person": others.person,
        f"{name}_nonmated_pass": others.passage,
        f"{name}_nonmated_acquired": others.acquired,
        f"{name}_mated_own": mated.own,
        f"{name}_mated_rank_one": mated.rank_one,
        f"{name}_mated_person": mated.person,
        f"{name}_mated_pass": mated.passage,
        f"{name}_mated_acquired": mated.acquired,
        f"{name}_no_face_best": searched.on_no_face,
    }
