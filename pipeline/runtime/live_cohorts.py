"""Differentials of a live run: its alerts joined with the truth, which is recomputed from the seed; only sums stay.

A pass is a search. That of a listed person within working distance is mated, with the score of the alert for its own
entry; that of somebody else is non-mated, with the best score of its alerts. A pass without an alert has no score: it
lies below the threshold, or no face was found, and a live system does not say which.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np

from pipeline.evaluation.cohorts import EDGES, Differential, by_cohort, differentials
from pipeline.evaluation.rate import Rate
from pipeline.evaluation.searches import Mated, NonMated
from pipeline.records import Alert
from pipeline.runtime.evaluation_plots import rates_by_cohort
from pipeline.synthetic.cohorts import cohorts_of_street
from pipeline.synthetic.street import FaceTruth, PlantedPass, Street

SCHEMA_VERSION: Final = 1
LEAST_OVERLAP: Final = 0.3
"""Intersection over union from which on an alert's box is taken to be a face."""


class LiveCohort(msgspec.Struct, frozen=True):
    """One cohort: histograms of the scores of its alerts, its passes without an alert, and its rates."""

    dimension: str
    name: str
    mated_alerts: tuple[int, ...]
    """Alerts of passes of listed people for their own entry, by score."""
    non_mated_alerts: tuple[int, ...]
    """Passes of people who are not listed that alerted, by the best score."""
    mated_without_alert: int
    non_mated_without_alert: int
    tpir: Rate
    fpir: Rate


class LiveCohorts(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of `cohorts.json`: rates are per pass, shares 0 … 1, scores are cosines."""

    schema_version: int
    threshold: float | None
    """Of the alerts; null without any."""
    histogram_edges: tuple[float, ...]
    elsewhere: int
    """Alerts in no cohort: for another entry than the listed person who was seen, or on no face."""
    cohorts: tuple[LiveCohort, ...]
    differentials: tuple[Differential, ...]


@dataclass(slots=True)
class _Passes:
    """Searches of one kind: scores, −inf without an alert, the people, and their cohorts."""

    scores: list[float] = field(default_factory=list)
    people: list[int] = field(default_factory=list)
    labels: list[Mapping[str, str]] = field(default_factory=list)

    def add(self, score: float, planted: PlantedPass, label: Mapping[str, str]) -> None:
        self.scores.append(score)
        self.people.append(planted.identity)
        self.labels.append(label)


def live_cohorts(
    streets: Mapping[str, Street], frames_sent: Mapping[str, int], alerts: Iterable[Alert], seed: int
) -> LiveCohorts:
    """Return the sums of every cohort over all streets; `seed` is that of the bootstrap."""
    by_camera: dict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        by_camera[alert.camera].append(alert)
    mated, others = _Passes(), _Passes()
    joined = sum(
        _join(street, frames_sent.get(camera, 0), by_camera[camera], mated, others)
        for camera, street in streets.items()
    )
    every = [alert for each in by_camera.values() for alert in each]
    found = by_cohort(
        Mated(_scores(mated), np.ones(len(mated.scores), bool), _integers(mated.people), _counted(mated)),
        mated.labels,
        NonMated(_scores(others), _integers(others.people), _counted(others)),
        others.labels,
        threshold=-1.0,
        rng=np.random.default_rng(seed),
    )
    return LiveCohorts(
        schema_version=SCHEMA_VERSION,
        threshold=min((alert.threshold for alert in every), default=None),
        histogram_edges=tuple(float(edge) for edge in EDGES),
        elsewhere=len(every) - joined,
        cohorts=tuple(
            LiveCohort(
                each.dimension, each.name, each.mated, each.non_mated,
                each.mated_not_acquired, each.non_mated_not_acquired, each.tpir, each.fpir,
            )
            for each in found
        ),
        differentials=tuple(differentials(found)),
    )  # fmt: skip


def cohorts_plot(found: LiveCohorts, run: str) -> bytes:
    """Rates by cohort with their intervals as PNG."""
    return rates_by_cohort({run: found.cohorts}, ("False alerts", "Planted passes alerted"), "pass")


def live_cohorts_schema() -> dict[str, Any]:
    """The JSON Schema of cohorts.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(LiveCohorts)}


def _join(street: Street, frames_sent: int, alerts: list[Alert], mated: _Passes, others: _Passes) -> int:
    """Add the passes of one camera, and return how many of its alerts belong to a pass or need not be counted."""
    if not frames_sent:
        return 0
    scores: dict[str, float] = defaultdict(lambda: -np.inf)
    joined = 0
    for alert in alerts:
        face = _face(alert, street)
        if face is not None and (not face.listed or face.entry == alert.entry):
            scores[face.pass_id] = max(scores[face.pass_id], alert.score)
            joined += 1
    labels = cohorts_of_street(street.spec)
    for planted in street.passes(0, frames_sent - 1):
        label = labels[int(planted.pass_id.rsplit("/", 1)[1])]._asdict()
        if not planted.listed:
            others.add(scores[planted.pass_id], planted, label)
        elif planted.within_working_distance and planted.last_sequence < frames_sent - 1:
            mated.add(scores[planted.pass_id], planted, label)
    return joined


def _face(alert: Alert, street: Street) -> FaceTruth | None:
    """Return the face that an alert's box lies on best, None if there is none."""
    faces = street.truth(alert.sequence).faces
    best = max(faces, key=lambda face: _overlap(alert.box, face.box), default=None)
    return best if best is not None and _overlap(alert.box, best.box) >= LEAST_OVERLAP else None


def _overlap(box: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    """Return intersection over union of two boxes, xyxy."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    union = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared
    return shared / max(union, 1e-9)


def _scores(passes: _Passes) -> Any:
    return np.array(passes.scores, np.float32)


def _integers(values: list[int]) -> Any:
    return np.array(values, np.int64)


def _counted(passes: _Passes) -> Any:
    return np.arange(len(passes.scores), dtype=np.int64)
