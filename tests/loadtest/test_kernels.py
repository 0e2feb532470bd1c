"""The benchmark of the kernels: its arithmetic, and one short run of the real thing."""

from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

from loadtest import kernels
from loadtest.kernels import Figure, Report, main, processor, show, take_turns


def test_precisions_take_turns_until_each_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass of each in turn, the first not counted; medians of wall and CPU time."""
    now, calls = 0.0, []

    def work(name: str, cost: float) -> None:
        nonlocal now
        now += cost
        calls.append(name)

    monkeypatch.setattr(kernels.time, "perf_counter", lambda: now)
    monkeypatch.setattr(kernels.time, "process_time", lambda: now / 2)
    found = take_turns({"slow": lambda: work("slow", 1.0), "quick": lambda: work("quick", 0.5)}, 2.0)
    assert found == {"slow": (1.0, 0.5), "quick": (0.5, 0.25)}
    assert calls == ["slow", "quick"] * 4 + ["quick"]


def test_the_table_states_the_machine_and_the_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    """CPU time against fp32 of the same stage and batch."""
    figures = [
        Figure("embed", "fp32", 8, "faces", 1_000.0, 1.5),
        Figure("embed", "int8", 8, "faces", 3_000.0, 0.5),
        Figure("align", "", 8, "faces", 9_000.0, 0.1),
    ]
    show(Report("a processor", 2, "2.15", "abc", figures), Console(width=200))
    said = capsys.readouterr().out
    assert "3.00 times less" in said
    assert "a processor; threads 2; torch 2.15" in said
    assert "3,000 faces" in said


def test_the_processor_is_named() -> None:
    """With the number of cores and the instructions that precisions need."""
    assert "cores (" in processor()


def test_every_stage_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A short run at a batch of 1 gives every stage in every precision, in the file too."""
    monkeypatch.setattr(kernels, "FRAMES", 3)
    monkeypatch.setattr(kernels.measure, "__defaults__", ((1,),))
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, ["--seconds", "0.01", "--json", str(tmp_path / "kernels.json")])
    assert result.exit_code == 0, result.output
    report = msgspec.json.decode((tmp_path / "kernels.json").read_bytes(), type=Report)
    stages = {(row.stage, row.precision) for row in report.figures}
    assert {row.items for row in report.figures if row.stage == "render"} == {"views", "frames"}
    assert {("render", ""), ("decode", ""), ("decode at 1/2", ""), ("align", "")} <= stages
    assert {(stage, precision) for stage in ("detect", "embed") for precision in ("fp32", "bf16")} <= stages
    assert all(row.per_second > 0 for row in report.figures)
