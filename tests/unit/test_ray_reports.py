"""What Ray's nodes report of processes that died stays out of a command's output."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from ray._private import worker

from pipeline.runtime import supervision
from pipeline.runtime.supervision import connected


class OneReport:
    """Ray's subscription to reports, with one to give before the listener is to stop."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped

    def subscribe(self) -> None:
        """Nothing to do."""

    def poll(self) -> tuple[bytes, dict[str, Any]]:
        """The report."""
        self._stopped.set()
        return b"", {"job_id": None, "error_message": "Raylet is terminated. Last lines of its log: ..."}


@pytest.mark.parametrize("verbose", [False, True])
def test_ray_prints_reports_only_if_it_is_to_be_verbose(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], verbose: bool
) -> None:
    """By Ray's own listener, which a driver runs in a thread."""
    monkeypatch.setattr(supervision.ray, "init", lambda **_: None)
    monkeypatch.setattr(supervision.ray, "shutdown", lambda: None)
    monkeypatch.setattr(worker, "print_to_stdstream", worker.print_to_stdstream)  # as it was, after the test
    stopped = threading.Event()
    job = SimpleNamespace(binary=lambda: b"job")
    with connected("auto", "run", verbose=verbose):
        worker.listen_error_messages(
            SimpleNamespace(gcs_error_subscriber=OneReport(stopped), current_job_id=job), stopped
        )
    assert ("Raylet is terminated" in "".join(capfd.readouterr())) == verbose
