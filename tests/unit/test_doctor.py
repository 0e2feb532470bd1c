"""The doctor as a command: every check is made, and the exit code says whether something will not work."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import app as cli
from pipeline.errors import ModelError
from pipeline.runtime import doctor
from pipeline.runtime.doctor_checks import Finding, Status
from pipeline.runtime.settings import Settings


def test_every_check_is_made_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says what it found; none of them breaks down."""
    monkeypatch.setattr(doctor, "_weights", lambda _: [Finding("weights", Status.OK, "not looked at here")])
    monkeypatch.setattr(doctor, "_precision", lambda _: Finding("precision", Status.OK, "not looked at here"))
    findings = list(doctor.examine(Settings()))
    assert [finding.check for finding in findings] == [
        "Python", "cores", "memory", "disk", "/dev/shm", "socket folder", "clock", "faiss", "GPU", "weights",
        "precision", "Ray", "Kafka",
    ]  # fmt: skip
    assert [finding for finding in findings if not finding.found or "could not be looked at" in finding.found] == []


def _fails() -> list[Finding]:
    raise ModelError("the weights are corrupt")


def _breaks() -> list[Finding]:
    raise OSError("no such device")


def test_a_check_that_breaks_down_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own error is a failure; anything else is a warning that it could not look."""
    checks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("one", _breaks),
        ("two", _fails),
        ("three", lambda: [Finding("three", Status.OK, "fine")]),
    ]
    monkeypatch.setattr(doctor, "_machine", lambda _: checks)
    findings = list(doctor.examine(Settings()))[:3]
    assert [(f.check, f.status) for f in findings] == [
        ("one", Status.WARN), ("two", Status.FAIL), ("three", Status.OK),
    ]  # fmt: skip
    assert "no such device" in findings[0].found
    assert findings[1].found == "the weights are corrupt"


@pytest.mark.parametrize(("status", "code"), [(Status.OK, 0), (Status.WARN, 0), (Status.FAIL, 1)])
def test_the_exit_code_says_whether_something_will_not_work(
    status: Status, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script can ask the doctor; the finding is printed in each case."""
    monkeypatch.setattr(doctor, "examine", lambda _: iter([Finding("thing", status, "as it is", "do this")]))
    monkeypatch.setattr(sys, "argv", ["lamppost", "doctor"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    assert f"thing\t{status}\tas it is\tdo this" in capsys.readouterr().out.splitlines()


def test_the_precision_that_workers_would_compute_in_is_told() -> None:
    """As set, or as the probe finds."""
    settings = Settings.model_validate({"vision": {"precision": "bf16", "device": "cpu"}})
    assert doctor._precision(settings).found == "detector bf16, embedder bf16 (vision.precision=bf16)"


def test_own_models_are_loaded_and_refused_as_a_worker_does(tmp_path: Path) -> None:
    """A manifest that is not there is found before a run; without one there is nothing to tell."""
    assert doctor._own_models(Settings()) == []
    settings = Settings.model_validate({"vision": {"embedder_model": tmp_path / "gone.toml"}})
    with pytest.raises(ModelError, match=r"gone\.toml"):
        doctor._own_models(settings)
