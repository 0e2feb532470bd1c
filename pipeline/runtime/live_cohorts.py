"""Differentials of a live run: its alerts joined with the truth, which is recomputed from the seed; only sums stay.

A pass is a search. That of a listed person who should have alerted is mated, with the score of the first alert for its
own entry; that of somebody who is not listed is non-mated, with the best score of its alerts. A pass without an alert
has no score: it lay below the threshold, showed no face that was found, or its frames were not processed, and a live
system does not say which. So these histograms begin at the threshold, and are not those of `lamppost evaluate`, which
knows every score.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.cohorts import EDGES, Differential, by_cohort, differentials
from pipeline.evaluation.rate import Rate
from pipeline.evaluation.rates import LOWEST
from pipeline.evaluation.searches import Mated, NonMated
from pipeline.records import Alert
from pipeline.runtime.evaluation_plots import rates_by_cohort
from pipeline.runtime.truth import Joined
from pipeline.synthetic.cohorts import cohorts_of_street
from pipeline.synthetic.street import FaceTruth, PlantedPass, Street, walk_of
from pipeline.vision.trials import match

SCHEMA_VERSION: Final = 1


class LiveCohort(msgspec.Struct, frozen=True):
    """One cohort: histograms of scores, passes without an alert, and rates per pass."""

    dimension: str
    name: str
    mated_histogram: tuple[int, ...]
    """Passes of listed people with an alert for their own entry, by the score of the first."""
    non_mated_histogram: tuple[int, ...]
    """Passes of people who are not listed with an alert, by the best score."""
    mated_without_alert: int
    non_mated_without_alert: int
    tpir: Rate
    fpir: Rate


class Provenance(msgspec.Struct, frozen=True):
    """Which run it was; embedder and threshold as the alerts say, null without any."""

    run: str
    seed: int
    embedder_version: str | None
    threshold: float | None


class LiveCohorts(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of `cohorts.json`: rates are per pass, shares 0 … 1, scores are cosines.

    Every alert is in a histogram (several of one pass once), or is counted as one of those that belong to no cohort.
    """

    schema_version: int
    provenance: Provenance
    histogram_edges: tuple[float, ...]
    not_asked_for: int
    """Right alerts for passes that need not alert: never within working distance, or cut short by the end."""
    for_another: int
    """Passes of listed people with an alert for another's entry; several such alerts of one pass count once."""
    on_no_face: int
    cohorts: tuple[LiveCohort, ...]
    differentials: tuple[Differential, ...]


@dataclass(slots=True)
class _Passes:
    """Searches of one kind: scores, −inf without an alert, the people, and their cohorts."""

    scores: list[float] = field(default_factory=list)
    people: list[int] = field(default_factory=list)
    labels: list[Mapping[str, str]] = field(default_factory=list)

    def add(self, score: float, planted: PlantedPass, label: Mapping[str, str]) -> None:
        """Add a pass."""
        self.scores.append(score)
        self.people.append(planted.identity)
        self.labels.append(label)

    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Return scores float32[M], people int64[M] and numbers of the passes int64[M]."""
        count = np.arange(len(self.scores), dtype=np.int64)
        return np.array(self.scores, np.float32), np.array(self.people, np.int64), count


@dataclass(slots=True)
class _Sums:
    """What is added up over cameras."""

    mated: _Passes = field(default_factory=_Passes)
    others: _Passes = field(default_factory=_Passes)
    not_asked_for: int = 0
    for_another: int = 0
    on_no_face: int = 0


def live_cohorts(joined: Sequence[Joined], elsewhere: Sequence[Alert], provenance: Provenance) -> LiveCohorts:
    """Return the sums of every cohort over all cameras; alerts `elsewhere`, without a street, lie on no face."""
    sums = _Sums(on_no_face=len(elsewhere))
    for each in joined:
        _add(each, sums)
    own, people, passages = sums.mated.arrays()
    found = by_cohort(
        Mated(own, np.ones(len(own), bool), people, passages),
        sums.mated.labels,
        NonMated(*sums.others.arrays()),
        sums.others.labels,
        threshold=LOWEST,
        rng=np.random.default_rng(provenance.seed),
    )
    return LiveCohorts(
        schema_version=SCHEMA_VERSION,
        provenance=provenance,
        histogram_edges=tuple(float(edge) for edge in EDGES),
        not_asked_for=sums.not_asked_for,
        for_another=sums.for_another,
        on_no_face=sums.on_no_face,
        cohorts=tuple(
            LiveCohort(
                each.dimension,
                each.name,
                each.mated,
                each.non_mated,
                each.mated_not_acquired,
                each.non_mated_not_acquired,
                each.tpir,
                each.fpir,
            )
            for each in found
        ),
        differentials=tuple(differentials(found)),
    )


def cohorts_plot(found: LiveCohorts) -> bytes:
    """Rates by cohort with their intervals as PNG."""
    titles = ("FPIR: unlisted passes that alerted", "TPIR: planted passes that alerted")
    return rates_by_cohort({found.provenance.run: found.cohorts}, titles)


def live_cohorts_schema() -> dict[str, Any]:
    """The JSON Schema of cohorts.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(LiveCohorts)}


def _add(joined: Joined, sums: _Sums) -> None:
    """Add the passes and alerts of one camera."""
    labels = cohorts_of_street(joined.street.spec) if joined.passes else {}
    false: dict[str, float] = defaultdict(lambda: -np.inf)
    for_another: set[str] = set()
    for alert in joined.unexplained:
        face = _face(alert, joined.street)
        if face is None:
            sums.on_no_face += 1
        elif face.listed:
            for_another.add(face.pass_id)
        else:
            false[face.pass_id] = max(false[face.pass_id], alert.score)
    sums.for_another += len(for_another)
    for planted in joined.passes:
        label = labels[walk_of(planted.pass_id)]._asdict()
        alerts = joined.of_pass.get(planted.pass_id, [])
        if joined.counts(planted):
            sums.mated.add(alerts[0].score if alerts else -np.inf, planted, label)
        elif planted.listed:
            sums.not_asked_for += len(alerts)
        else:
            sums.others.add(false[planted.pass_id], planted, label)


def _face(alert: Alert, street: Street) -> FaceTruth | None:
    """Return the face that an alert's box lies on, None if there is none."""
    return match(np.array([alert.box], np.float32), street.truth(alert.sequence).faces)[0]
