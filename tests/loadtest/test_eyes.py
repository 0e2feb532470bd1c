"""The benchmark of the eyes: its arithmetic, and one short run of the real thing."""

from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

from loadtest.eyes import BASELINES, Scores, Tally, main, nearness, report, show
from pipeline.evaluation.rate import independent_rate
from pipeline.synthetic.street import FaceTruth, PlantedPass
from pipeline.vision.trials import Trial


def _face(pass_id: str, listed: bool) -> FaceTruth:
    """Return a face of a pass."""
    return FaceTruth(
        identity=1,
        listed=listed,
        entry="a" if listed else "",
        pass_id=pass_id,
        box=(0.0, 0.0, 40.0, 50.0),
        landmarks=((0.0, 0.0),) * 5,
        yaw=0.0,
        occlusion=0.0,
        height=50.0,
    )


def _pass(pass_id: str, listed: bool, within: bool) -> PlantedPass:
    """Return a planted pass."""
    return PlantedPass(pass_id, 1, "a" if listed else "", listed, 0, 9, 50.0, 0.0, within)


@pytest.fixture
def scores() -> Scores:
    """Scores of a street with two listed passes (one never found), an unlisted one, a box on no face."""
    trial = Trial(
        templates=np.empty((5, 2), np.float32),
        crops=np.empty((5, 112, 112, 3), np.uint8),
        truths=(_face("p", True), _face("p", True), _face("q", False), _face("q", False), None),
        passes=(_pass("p", True, True), _pass("gone", True, True), _pass("far", True, False), _pass("q", False, True)),
        frames=9,
        wanted=4,
        missed=0,
    )
    values = np.array([[0.2, 0.9], [0.6, 0.1], [0.1, 0.5], [0.3, 0.2], [0.7, 0.0]], np.float32)
    collected = Scores()
    collected.add(trial, values, {"a": 0}, "1/")
    return collected


def test_a_pass_counts_by_its_best_score_for_its_own_entry(scores: Scores) -> None:
    """A high score for somebody else's entry does not make a pass found; a pass never detected is missed."""
    assert scores.tpir(0.6) == (1, 2)
    assert scores.tpir(0.65) == (0, 2)


def test_unlisted_faces_and_empty_boxes_count_as_false(scores: Scores) -> None:
    """Faces of people who are not listed, and boxes on no face, are trials of FPIR."""
    assert scores.fpir(0.5) == (2, 3)
    assert scores.fpir_per_pass(0.5) == (1, 1)


def test_threshold_at_a_rate_is_kept(scores: Scores) -> None:
    """At the threshold for a rate, no more faces than that reach it."""
    for wanted in (0.0, 0.34, 0.67):
        events, trials = scores.fpir(scores.threshold_at(wanted))
        assert events / trials <= wanted
    assert scores.fpir_per_pass(scores.threshold_at_pass(0.0)) == (0, 1)


def test_nearness_is_minus_the_distance() -> None:
    """The same features are nearest."""
    features = np.array([[0.0, 3.0], [4.0, 0.0]], np.float32)
    assert np.allclose(nearness(features, features), [[0, -5], [-5, 0]], atol=1e-3)


def test_baselines_tell_black_from_white() -> None:
    """Each baseline gives one finite row per crop."""
    crops = np.stack([np.zeros((112, 112, 3), np.uint8), np.full((112, 112, 3), 255, np.uint8)])
    for features in BASELINES.values():
        rows = features(crops)
        assert len(rows) == 2
        assert np.isfinite(rows).all()


def test_rates_carry_counts_and_interval() -> None:
    """A rate is never printed alone, and none of nothing."""
    found = independent_rate(5, 10)
    assert found.low is not None and found.high is not None
    assert found.low < found.share == 0.5 < found.high
    assert (independent_rate(0, 393).text, independent_rate(0, 0).text) == ("< 3/393 = 0.763%", "no trials")


@pytest.mark.parametrize("passes", [1595, 3000])
def test_a_target_that_the_sample_does_not_support_is_marked(passes: int) -> None:
    """One in a thousand takes 3,000 unlisted passes; no rate is printed as nought."""
    scores = {name: Scores(unlisted=[np.zeros(1, np.float32)]) for name in ("embedder", *BASELINES)}
    for each in scores.values():
        each.unlisted_passes = {f"1/{number}": 0.1 for number in range(passes)}
        each.listed_passes = {f"1/l{number}": 0.05 for number in range(393)}
    eyes = SimpleNamespace(operating_point=SimpleNamespace(threshold=0.6), embedder=SimpleNamespace(version="e"))
    figures = report(Tally(scores), eyes, [1], 200)  # type: ignore[arg-type]  # only what is read
    console = Console(file=StringIO(), width=200)
    show(figures, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert figures["pass_fpir_supported"] == (passes == 3000)
    assert ("embedder at FPIR 0.1% per pass *" in said) == (passes < 3000)
    assert ("1595 unlisted passes do not support FPIR 0.1%: 3000 would" in said) == (passes < 3000)
    assert "< 3/393 = 0.763%" in said
    assert "0.000%" not in said


def test_short_run_writes_its_figures(tmp_path: Path) -> None:
    """A small watchlist and few faces: the command ends, finds most passes, and writes what it printed."""
    app = Typer()
    app.command()(main)
    target = tmp_path / "eyes.json"
    arguments = ["--seed", "31", "--watchlist", "20", "--passes", "3", "--faces", "150", "--json", str(target)]
    result = CliRunner().invoke(app, arguments)
    figures = msgspec.json.decode(target.read_bytes())
    assert result.exit_code == (0 if figures["ok"] else 1), result.output
    assert figures["fpir_per_face"]["trials"] >= 150
    assert figures["tpir_per_pass"]["trials"] >= 3
    assert figures["tpir_per_pass"]["events"] >= 0.6 * figures["tpir_per_pass"]["trials"]
    assert set(figures["milliseconds"]) == {"render", "encode", "decode", "detect", "align", "embed"}
