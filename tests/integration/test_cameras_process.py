"""Cameras in a process of their own: they render, send, stop, fail in words, and never outlive their command."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.cameras.counts import summed
from pipeline.cameras.plan import FleetPlan, SyntheticCamera, VideoCamera
from pipeline.errors import LamppostError
from pipeline.runtime.camera_metrics import CameraInstruments
from pipeline.runtime.camera_process import CameraProcess
from pipeline.streams.client import Connection
from pipeline.synthetic.street import StreetSpec

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]
Open = Callable[..., CameraProcess]
INSTRUMENTS = CameraInstruments("127.0.0.1", 64, 2)


def small(count: int = 2, fps: float = 5.0) -> tuple[SyntheticCamera, ...]:
    """Cameras that are quick to render."""
    return tuple(
        SyntheticCamera(f"north/{n}", StreetSpec(seed=n, camera=f"north/{n}", width=160, height=96, fps=fps))
        for n in range(count)
    )


@pytest.fixture
def opened() -> Iterator[Open]:
    """Starts camera processes, and ends them after the test."""
    processes: list[CameraProcess] = []

    def open_(plan: FleetPlan) -> CameraProcess:
        processes.append(CameraProcess(plan, INSTRUMENTS))
        return processes[-1]

    yield open_
    for process in processes:
        process.stop(0.0)


@pytest.fixture
def nowhere() -> Connection:
    """The address of a port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Connection(f"127.0.0.1:{free.getsockname()[1]}")


def test_it_renders_before_it_is_started_and_serves_metrics(opened: Open, eventually: Eventually) -> None:
    """Progress arrives while it renders; ready, it waits, has intended nothing, and can be scraped."""
    process = opened(FleetPlan(small(), seconds=4.0))
    eventually(lambda: process.check().state == "ready", "readiness")
    status = process.check()
    assert status.rendered == status.to_render == 2 * 21
    assert status.start_ns is None
    assert summed(status.counts).intended == 0
    assert set(status.counts) == {"north/0", "north/1"}
    host, port = status.metrics_address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as scrape:
        scrape.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert scrape.recv(100).startswith(b"HTTP/1.0 200")
    assert process.stop().state == "ended"
    assert not psutil.pid_exists(process.pid)


def test_frames_to_a_broker_that_is_away_all_fail(opened: Open, nowhere: Connection, eventually: Eventually) -> None:
    """Cameras keep their pace without Kafka; each frame is intended and failed, and the trouble is told."""
    process = opened(FleetPlan(small(), seconds=1.0))
    at = time.time_ns()
    process.connect(nowhere)
    process.start(4, at)
    eventually(lambda: process.check().trouble and summed(process.check().counts).intended, "trouble with frames")
    status = process.stop(drain_seconds=0.5)
    assert status.state == "ended"
    assert nowhere.brokers in status.trouble
    counts = summed(status.counts)
    assert counts.failed == counts.intended > 0
    assert counts.sent == 0
    assert status.start_ns is not None
    assert status.start_ns >= at


def test_stop_while_rendering_ends_at_once(opened: Open, eventually: Eventually) -> None:
    """A fleet with hours of rendering before it stops within seconds, not minutes."""
    plan = FleetPlan((SyntheticCamera("north/0", StreetSpec(seed=1, camera="north/0", fps=60.0)),))
    process = opened(plan)
    eventually(lambda: process.check().rendered > 0, "the first picture")
    before = time.monotonic()
    status = process.stop()
    assert status.state == "ended"
    assert 0 < status.rendered < status.to_render
    assert time.monotonic() - before < 10.0


def test_file_that_cannot_be_read_fails_in_words(opened: Open, eventually: Eventually) -> None:
    """The process's error reaches the command with its exit code."""
    process = opened(FleetPlan((VideoCamera("north/0", Path("nowhere.mp4")),)))
    eventually(lambda: process.status().state == "failed", "failure")
    with pytest.raises(LamppostError, match=r"nowhere\.mp4 cannot be read") as raised:
        process.check()
    assert raised.value.exit_code == 3


def test_settings_that_kafkas_client_refuses_fail_in_words(opened: Open, eventually: Eventually) -> None:
    """A wrong security setting is found when the cameras connect, and ends them with its exit code."""
    process = opened(FleetPlan(small()))
    process.connect(Connection("127.0.0.1:9092", {"security.protocol": "carrier pigeon"}))
    eventually(lambda: process.status().state == "failed", "failure")
    with pytest.raises(LamppostError, match="carrier pigeon") as raised:
        process.check()
    assert raised.value.exit_code == 2


def test_killed_process_is_noticed(opened: Open, eventually: Eventually) -> None:
    """Kill -9 of the cameras is a failure that names the signal."""
    process = opened(FleetPlan(small()))
    os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: process.status().state == "failed", "failure")
    with pytest.raises(LamppostError, match="exit status -9"):
        process.check()


def test_ctrl_c_is_the_commands_business(opened: Open, eventually: Eventually) -> None:
    """SIGINT, which a terminal sends to every process, does not end cameras; SIGTERM lets them end by themselves."""
    process = opened(FleetPlan(small()))
    eventually(lambda: process.check().state == "ready", "readiness")
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGTERM)
    eventually(lambda: process.check().state == "ended", "the end")


_COMMAND = """
import sys, time
from test_cameras_process import INSTRUMENTS, CameraProcess, FleetPlan, small
if __name__ == "__main__":
    process = CameraProcess(FleetPlan(small()), INSTRUMENTS)
    print(process.pid, flush=True)
    time.sleep(600)
"""


def test_cameras_die_with_their_command(tmp_path: Path, eventually: Eventually) -> None:
    """After kill -9 of the command no process of it is left."""
    script = tmp_path / "command.py"
    script.write_text(_COMMAND)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    assert command.stdout is not None
    cameras = psutil.Process(int(command.stdout.readline()))
    family = [cameras, *psutil.Process(command.pid).children(recursive=True)]
    command.kill()
    command.wait()
    command.stdout.close()
    eventually(lambda: not any(each.is_running() for each in family), "the end of all processes")
