"""`lamppost evaluate` as a user meets it: what it prints, what it refuses, and how it ends."""

import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipeline.cli import app as cli
from pipeline.cli.evaluation import evaluate
from pipeline.errors import SettingsError
from pipeline.evaluation.rate import RULE_OF_THREE
from pipeline.runtime.evaluation import Plan

BUSY_SECONDS = 2.0
"""CPU time after which the processes of an evaluation are deep in their libraries."""


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache of the test's own, and lines that are wide enough for what is said."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit code of a command line."""
    monkeypatch.setattr(sys, "argv", ["lamppost", "evaluate", *arguments])
    try:
        cli.main()
    except SystemExit as ended:
        assert ended.code is None or isinstance(ended.code, int)
        return ended.code or 0
    return 0


@pytest.mark.usefixtures("apart")
def test_it_prints_rates_with_intervals_and_where_the_files_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Passes along a street, a handful; a sample too small for its target says so."""
    code = run(
        monkeypatch, "--per", "pass", "--gallery", "6", "--searches", "4", "--pictures", "1", "--processes", "1",
        "--target-fpir", "1e-3", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    seen = capsys.readouterr().out
    assert code == 0
    assert "street, per pass, gallery of 6 (1 picture each)" in seen
    assert "do not support FPIR 0.001: --searches 3000 would" in seen
    assert "shipped" in seen
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cohorts.csv", "cohorts.png", "det.png", "evaluation.json", "rates.csv", "scores.npz",
    ]  # fmt: skip


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize(
    ("arguments", "option"),
    [(("--searches", "4"), "--searches"), (("--choice-searches", "2", "--searches", "7"), "--choice-searches")],
)
def test_the_option_that_the_choice_is_short_of_is_named(
    arguments: tuple[str, ...],
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """More people to test on would not support a threshold that is chosen on others."""
    code = run(
        monkeypatch, "--difficulty", "studio", "--gallery", "2", "--pictures", "1", "--processes", "1", *arguments,
        "--target-fpir", "0.5", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert code == 0
    assert f"do not support FPIR 0.5: {option} 6 would" in capsys.readouterr().out


@pytest.mark.usefixtures("apart")
def test_a_threshold_that_follows_from_a_smaller_gallery_is_said_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Under the table of the larger gallery alone, with the searches that it would take."""
    code = run(
        monkeypatch, "--difficulty", "studio", "--gallery", "2", "--gallery", "4", "--choice-gallery", "2",
        "--searches", "4", "--pictures", "1", "--processes", "1", "--target-fpir", "0.75",
        "--out", str(tmp_path / "out"),
    )  # fmt: skip
    seen = capsys.readouterr().out
    assert code == 0
    assert seen.count("chosen with a gallery of") == 1
    assert "chosen with a gallery of 2, as if independent parts of that size made up the 4" in seen
    assert "do not support FPIR 0.75: --searches 6 would" in seen  # half of the searches may reach it in either part


def test_a_plan_supports_its_target_unless_told_otherwise(tmp_path: Path) -> None:
    """The rule of three: 3 ÷ target people."""
    plan = Plan(out=tmp_path)
    assert plan.searches * plan.target_fpir >= RULE_OF_THREE
    options = inspect.signature(evaluate).parameters
    assert (options["searches"].default, options["target_fpir"].default) == (plan.searches, plan.target_fpir)


def test_the_networks_are_those_that_are_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The option goes before the setting, in the environment or a file, as with every other command."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "lamppost.toml"
    file.write_text('[vision]\nweights = "/in-the-file"\n')
    assert run(monkeypatch, "--settings", str(file)) == 7
    assert "/in-the-file" in capsys.readouterr().err
    monkeypatch.setenv("LAMPPOST_VISION__WEIGHTS", "/in-the-environment")
    assert run(monkeypatch, "--settings", str(file)) == 7
    assert "/in-the-environment" in capsys.readouterr().err
    assert run(monkeypatch, "--weights", "/as-given") == 7
    assert "/as-given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--difficulty", "fog"), 2),
        (("--target-fpir", "2"), 2),
        (("--gallery", "many"), 2),
        (("--searches", "0"), 2),
        (("--precision", "fp16"), 2),
        (("--out", "/dev/null/here"), 3),
    ],
)
def test_bad_input_is_one_clear_error(
    arguments: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the code of its kind, and the option's name."""
    assert run(monkeypatch, *arguments) == code
    said = capsys.readouterr().err
    assert arguments[0] in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("field", "value"),
    [("embedder_model", "own.toml"), ("detector_model", "own.toml"), ("device", "cuda"), ("device", "cuda:1")],
)
def test_networks_and_devices_that_it_would_not_evaluate_are_refused(
    field: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Figures of the shipped networks must not pass for those of one's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text("")
    monkeypatch.setenv(f"LAMPPOST_VISION__{field.upper()}", value)
    assert run(monkeypatch) == 2
    said = capsys.readouterr().err
    assert f"vision.{field} is {value}" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "evaluation").exists()


@pytest.mark.parametrize(
    ("setting", "option", "precision"),
    [(None, (), "fp32"), ("auto", (), "fp32"), ("int8", (), "int8"), ("int8", ("--precision", "bf16"), "bf16")],
)
def test_the_precision_is_that_of_the_settings_unless_given(
    setting: str | None, option: tuple[str, ...], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the probes are computed in is what a run would compute in, and auto is the most exact."""
    planned: list[Plan] = []

    def refuse(plan: Plan, progress: object) -> None:
        planned.append(plan)
        raise SettingsError("far enough")

    monkeypatch.setattr("pipeline.runtime.evaluation.evaluate", refuse)
    if setting is not None:
        monkeypatch.setenv("LAMPPOST_VISION__PRECISION", setting)
    assert run(monkeypatch, *option) == 2
    assert [plan.precision for plan in planned] == [precision]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL], ids=lambda each: each.name)
def test_an_interrupted_command_leaves_no_process(
    ending: signal.Signals, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Ctrl-C ends it with code 130; even a killed command takes its processes along."""
    command = subprocess.Popen(
        [sys.executable, "-c", "from pipeline.cli.app import main; main()", "evaluate", "--processes", "2",
         "--searches", "4000", "--out", str(tmp_path / "out")],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)}, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    family: list[psutil.Process] = []

    def complete() -> bool:
        family[:] = psutil.Process(command.pid).children(recursive=True)
        return len(family) >= 3  # two workers and multiprocessing's resource tracker

    def busy() -> bool:
        return sum(sum(each.cpu_times()[:2]) for each in family) >= BUSY_SECONDS

    try:
        eventually(complete, "all processes", 90)
        eventually(busy, "work in them", 90)
        # Ctrl-C reaches every process of the terminal
        os.killpg(command.pid, ending) if ending == signal.SIGINT else command.send_signal(ending)
        _, said = command.communicate(timeout=60)
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive
        if ending == signal.SIGINT:
            assert command.returncode == 130
            assert "Traceback" not in said.decode()
    finally:
        for each in [*family, command]:
            if each.is_running() if isinstance(each, psutil.Process) else each.poll() is None:
                each.kill()
