"""What the load tests refuse before they measure anything: numbers out of bounds, and files that cannot be written."""

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from loadtest import deletion, detector, eyes, kernels, loading, matching, overload
from loadtest.command import conclude
from pipeline.errors import InputError


@pytest.mark.parametrize(
    ("options", "arguments", "said"),
    [
        (overload.options, ["--seconds", "0"], "argument --seconds: is 0; give a number from 1.0 to 86,400.0"),
        (overload.options, ["--seconds", "nan"], "argument --seconds: is nan"),
        (overload.options, ["--saturation-seconds", "0"], "argument --saturation-seconds: is 0"),
        (overload.options, ["--factor", "0.5"], "argument --factor: is 0.5"),
        (overload.options, ["--cameras", "0"], "argument --cameras: is 0; give a whole number from 1 to 10,000"),
        (loading.options, ["--shards", "0"], "argument --shards: is 0"),
        (loading.options, ["--shards", "1001"], "argument --shards: is 1001; give a whole number from 1 to 1,000"),
        (loading.options, ["--entries", "many"], "argument --entries: is many"),
    ],
)
def test_a_number_out_of_bounds_is_refused(
    options: Callable[[list[str]], object], arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the bounds, and argparse's exit code."""
    with pytest.raises(SystemExit) as ended:
        options(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_figures_that_cannot_be_written_are_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By any of the load tests that end in `conclude`."""

    def measure() -> list[loading.Figure]:
        raise AssertionError("measured, to write it nowhere")

    assert conclude(measure, loading.line, {}, tmp_path / "nowhere" / "figures.json") == InputError.exit_code
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "figures.json cannot be written (No such file or directory); name a file that can" in said
    assert conclude(measure, loading.line, {}, tmp_path) == InputError.exit_code


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (deletion.main, []),
        (detector.main, ["--seed", "1"]),
        (eyes.main, ["--seed", "1"]),
        (kernels.main, []),
        (matching.main, []),
    ],
    ids=["deletion", "detector", "eyes", "kernels", "matching"],
)
def test_a_place_that_cannot_be_written_is_refused_first(
    main: Callable[..., None], arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line with the code of a wrong file."""
    for name in matching.THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [*arguments, "--json", str(tmp_path / "nowhere" / "figures.json")])
    assert (result.exit_code, result.stderr.count("\n")) == (InputError.exit_code, 1)
    assert "figures.json cannot be written" in result.stderr
