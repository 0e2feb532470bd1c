"""What the plots of an evaluation show of its figures."""

import msgspec
import numpy as np
import pytest
from matplotlib.collections import LineCollection

from pipeline.evaluation.rate import rate_of
from pipeline.evaluation.rates import Threshold
from pipeline.runtime.evaluation_plots import det_figure
from pipeline.runtime.evaluation_results import DetPoint, Evaluation, Operating, Options, Provenance, Result, Sample


def evaluation(false: int, missed: int, *points: DetPoint) -> Evaluation:
    """An evaluation of 3,000 searches of either kind, of whom 200 people are listed, with so many errors."""
    rng = np.random.default_rng(0)
    happened, person = np.arange(3000), np.arange(3000)
    sample = Sample(searches=3000, people=3000, frames=3000, not_acquired=rate_of(happened < 0, person, rng))
    point = Operating(
        threshold=0.6,
        chosen=Threshold(1e-3, 1e-3, 0.6, 0.5, None, 3000, 3000, "order statistics", supported=True),
        fpir=rate_of(happened < false, person, rng),
        tpir=rate_of(happened >= missed, person % 200, rng),
    )
    result = Result(
        difficulty="street",
        gallery=200,
        choice_gallery=200,
        choice=sample,
        non_mated=sample,
        mated=msgspec.structs.replace(sample, people=200),
        mated_beyond_distance=0,
        boxes_on_no_face=0,
        boxes_on_no_face_over_threshold=0,
        operating=(point,),
        det=points,
        cohorts=(),
        differentials=(),
    )
    return Evaluation(
        schema_version=1,
        provenance=Provenance(
            version="0",
            command="",
            seed=0,
            embedder_version="e",
            detector_version="d",
            shipped_threshold=0.6,
            hardware_threads=1,
            machine="",
        ),
        options=Options(
            difficulties=("street",),
            per="pass",
            galleries=(200,),
            choice_gallery=200,
            searches=3000,
            choice_searches=3000,
            target_fpir=1e-3,
            pictures=6,
            processes=1,
            precision="fp32",
            weights=None,
            shuffle_labels=False,
        ),
        histogram_edges=(),
        results=(result,),
    )


@pytest.mark.parametrize(
    ("false", "missed", "points", "corner"),
    [
        (3, 9, (), (3 / 3000, 9 / 3000)),
        (3, 9, (DetPoint(0.7, 0.01, 0.02), DetPoint(0.6, 0.1, 0.01)), (3 / 3000, 9 / 3000)),
        (30, 90, (DetPoint(0.7, 0.001, 0.02), DetPoint(0.6, 0.1, 0.001)), (0.001, 0.001)),
        (1, 1, (), (1 / 3000, 1 / 3000)),
    ],
)
def test_curves_and_crosses_are_within_the_axes(
    false: int, missed: int, points: tuple[DetPoint, ...], corner: tuple[float, float]
) -> None:
    """The cross of a target that was met with few misses lies below a curve that ends above it."""
    axes = det_figure(evaluation(false, missed, *points)).axes[0]
    assert len([each for each in axes.collections if isinstance(each, LineCollection)]) == 2  # the cross's intervals
    assert 0.1 * corner[0] < axes.get_xlim()[0] < corner[0]
    assert 0.1 * corner[1] < axes.get_ylim()[0] < corner[1]


def test_an_evaluation_without_errors_has_axes_all_the_same() -> None:
    """Nought has no logarithm, so there is no cross, and nothing is drawn below the axes."""
    axes = det_figure(evaluation(0, 0)).axes[0]
    assert not [each for each in axes.collections if isinstance(each, LineCollection)]
    assert 0 < axes.get_xlim()[0] < 1 > axes.get_ylim()[0] > 0
