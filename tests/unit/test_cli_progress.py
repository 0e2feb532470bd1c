"""Progress where there is no terminal: a line as a stage begins and for each twentieth of it."""

import pytest

from pipeline.cli.progress import stage_progress


def test_each_stage_has_lines_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """A second stage says as much as the first; the loss stands where there is one."""
    with stage_progress() as show:
        for stage in ("render", "train"):
            for done in range(1, 101):
                show(stage, done, 100, 0.25 if stage == "train" else float("nan"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["render 1/100", "render 5/100"]
    assert lines[-1] == "train 100/100 loss 0.2500"
    assert len(lines) == 2 * 21
