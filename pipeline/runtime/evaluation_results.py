"""What an evaluation says, as records, and the files that it is written to."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.cohorts import Cohort, Differential
from pipeline.evaluation.rate import Rate
from pipeline.evaluation.rates import Threshold

SCHEMA_VERSION: Final = 1


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to make the figures again."""

    version: str
    command: str
    seed: int
    embedder_version: str
    detector_version: str
    shipped_threshold: float
    hardware_threads: int
    machine: str


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the command as they were resolved."""

    difficulties: tuple[str, ...]
    per: str
    galleries: tuple[int, ...]
    choice_gallery: int
    """The most entries that thresholds are chosen with."""
    searches: int
    choice_searches: int
    target_fpir: float
    pictures: int
    processes: int
    precision: Literal["fp32", "bf16", "int8"]
    """Of the probes; entries are made in fp32."""
    weights: str | None
    """Folder of the networks; None: the shipped ones."""
    shuffle_labels: bool

    @property
    def said_pictures(self) -> str:
        """How many pictures an entry is made of, in words."""
        return "1 picture" if self.pictures == 1 else f"{self.pictures} pictures"

    def choice_entries(self, size: int) -> int:
        """Return how many entries thresholds for a gallery of a size are chosen with."""
        return min(size, self.choice_gallery)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """How many searches of how many people, and how many in which no face was found."""

    searches: int
    people: int
    frames: int
    """Faces that were found, in all frames."""
    not_acquired: Rate


class Operating(msgspec.Struct, frozen=True, kw_only=True):
    """The rates at one threshold, of people it was not chosen on."""

    threshold: float
    chosen: Threshold | None
    """How it was chosen; None for the threshold that ships with the weights."""
    fpir: Rate
    tpir: Rate


class DetPoint(msgspec.Struct, frozen=True):
    """One point of a DET curve; a description of the sample, without interval."""

    threshold: float
    fpir: float
    fnir: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One difficulty with one gallery. `operating` has the wanted target first and the shipped threshold last."""

    difficulty: str
    gallery: int
    choice_gallery: int
    """Entries that thresholds were chosen with."""
    choice: Sample
    """Non-mated searches that thresholds were chosen on."""
    non_mated: Sample
    mated: Sample
    mated_beyond_distance: int
    """Passes of listed people that never came within working distance; they are not counted. 0 for single faces."""
    boxes_on_no_face: int
    boxes_on_no_face_over_threshold: int
    operating: tuple[Operating, ...]
    det: tuple[DetPoint, ...]
    cohorts: tuple[Cohort, ...]
    """At the threshold of the wanted target."""
    differentials: tuple[Differential, ...]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of `evaluation.json`. Rates are shares 0 … 1, thresholds and scores cosines."""

    schema_version: int
    provenance: Provenance
    options: Options
    histogram_edges: tuple[float, ...]
    results: tuple[Result, ...]


def write(folder: Path, evaluation: Evaluation, scores: Mapping[str, NDArray[Any]], plots: Mapping[str, bytes]) -> None:
    """Write `evaluation.json`, `scores.npz`, `rates.csv`, `cohorts.csv` and the plots, PNG by file name."""
    (folder / "evaluation.json").write_bytes(msgspec.json.format(msgspec.json.encode(evaluation), indent=2) + b"\n")
    with (folder / "scores.npz").open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **scores)
    (folder / "rates.csv").write_text(_table(rate_rows(evaluation)), encoding="utf-8")
    (folder / "cohorts.csv").write_text(_table(cohort_rows(evaluation)), encoding="utf-8")
    for name, picture in plots.items():
        (folder / name).write_bytes(picture)


def evaluation_schema() -> dict[str, Any]:
    """The JSON Schema of evaluation.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Evaluation)}


def rate_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return a row for each rate at each threshold."""
    rows = []
    for result in evaluation.results:
        for point in result.operating:
            chosen = point.chosen
            for name, rate in (("FPIR", point.fpir), ("TPIR", point.tpir)):
                rows.append(
                    {
                        "difficulty": result.difficulty,
                        "per": evaluation.options.per,
                        "gallery": result.gallery,
                        "target_fpir": "shipped" if chosen is None else chosen.target,
                        "choice_gallery": None if chosen is None else result.choice_gallery,
                        "choice_share": None if chosen is None else chosen.share,
                        "threshold": point.threshold,
                        "threshold_low": None if chosen is None else chosen.low,
                        "threshold_high": None if chosen is None else chosen.high,
                        "target_supported": None if chosen is None else chosen.supported,
                        "rate": name,
                        **_cells(rate),
                    }
                )
    return rows


def cohort_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return a row for each rate of each cohort."""
    return [
        {
            "difficulty": result.difficulty,
            "per": evaluation.options.per,
            "gallery": result.gallery,
            "threshold": result.operating[0].threshold,
            "dimension": cohort.dimension,
            "cohort": cohort.name,
            "rate": name,
            **_cells(rate),
            "too_few_people": cohort.too_few,
        }
        for result in evaluation.results
        for cohort in result.cohorts
        for name, rate in (("FPIR", cohort.fpir), ("TPIR", cohort.tpir))
    ]


def _cells(rate: Rate) -> dict[str, Any]:
    return {
        "events": rate.events,
        "searches": rate.trials,
        "people": rate.people,
        "value": rate.rate,
        "low": rate.low,
        "high": rate.high,
        "method": rate.method,
        "text": rate.text,
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    out = StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
