"""Decisions of a cheaper arithmetic held against those of fp32."""

import numpy as np
import pytest

from loadtest.decisions import MARGIN, compared, line, main, options


def test_what_changed_is_counted_with_its_distance_from_the_threshold() -> None:
    """Both ways; a score on the threshold is a match."""
    exact = np.array([[0.5, 0.48, 0.3], [0.52, 0.1, 0.9]], np.float32)
    quick = np.array([[0.49, 0.5, 0.3], [0.52, 0.1, 0.8]], np.float32)
    found = compared("int8", exact, quick, 0.5)
    assert (found.searches, found.matches, found.changed) == (6, 3, 2)
    assert found.farthest == pytest.approx(0.02, abs=1e-6)
    assert found.greatest_shift == pytest.approx(0.1, abs=1e-6)
    assert found.reached
    assert "2 decided otherwise, of scores within 0.0200 of the threshold" in line(found)


def test_a_change_outside_the_margin_is_a_miss() -> None:
    """However many others there are none of."""
    found = compared("int8", np.array([[0.5 + 2 * MARGIN]], np.float32), np.array([[0.4]], np.float32), 0.5)
    assert not found.reached
    assert line(found).endswith(f"missed: none outside {MARGIN} of it")


def test_the_same_scores_change_nothing() -> None:
    """There is no farthest of none."""
    scores = np.array([[0.2, 0.7]], np.float32)
    found = compared("bf16", scores, scores, 0.5)
    assert (found.changed, found.farthest, found.reached) == (0, 0.0, True)
    assert "0 decided otherwise; no score" in line(found)


def test_more_listed_people_than_the_gallery_has_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With both numbers."""
    with pytest.raises(SystemExit):
        options(["--gallery", "5", "--people", "12"])
    assert "--people is 12: use 2 to 10" in capsys.readouterr().err


def test_a_small_comparison_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """bf16 is on every processor, and moves scores a little."""
    arguments = ["--gallery", "6", "--people", "8", "--difficulty", "studio", "--precision", "bf16"]
    assert main(arguments) == 0
    assert "bf16: " in capsys.readouterr().out
