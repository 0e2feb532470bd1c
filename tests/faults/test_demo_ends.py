"""How ``lamppost demo`` ends: well, interrupted, killed, or with a frame that nobody accounts for."""

import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from command import LEFT_SECONDS, Command
from conftest import Site

from pipeline.records import WatchlistEntry
from pipeline.runtime.summary import Summary, read_summary
from pipeline.runtime.watchlist import read
from pipeline.streams.client import Connection
from pipeline.streams.writer import RecordWriter
from pipeline.wire import watchlist as watchlist_wire

pytestmark = pytest.mark.integration

Demo = Callable[..., Command]
Eventually = Callable[..., None]

SMALL = ("--seconds", "5", "--cameras", "2", "--watchlist-size", "10", "--workers", "1", "--shards", "1")
LONG = ("--seconds", "600", *SMALL[2:])
FORGETFUL = Path(__file__).with_name("forgetful_demo.py")
CUSTODY = 8
INTERRUPTED = 130
END_SECONDS = 60.0
"""In which a demo that was asked to end has drained, written its results and taken everything down."""


@pytest.fixture
def demo(lamppost: Callable[..., Command]) -> Demo:
    """Starts a demo."""
    return partial(lamppost, "demo")


def sending(command: Command) -> None:
    """Wait until the demo is in the midst of frames."""
    command.wait_until(lambda: "processed" in command.out, "frame")


TRACKER_SECONDS = 5.0
"""Python's resource tracker notices only after its command's end that nobody needs it, and ends too."""


def summary(folder: Path) -> Summary:
    """What the demo wrote."""
    return read_summary(folder / "out" / "summary.json")


def test_a_demo_on_a_kafka_of_others_goes_by_its_own_frames_and_takes_its_people_off_again(
    demo: Demo, site: Site, tmp_path: Path
) -> None:
    """Other cameras send before, meanwhile and after, and somebody else is on the watchlist: all of that stays."""
    connection = Connection(site.kafka.address)
    writer = RecordWriter(connection)
    template = np.eye(128, dtype=np.float32)[0]
    writer.write([watchlist_wire.encode(WatchlistEntry(f"somebody-{n}", template), 128) for n in range(20)])
    writer.close()
    command = demo(*SMALL, "--brokers", site.kafka.address)
    deadline = time.monotonic() + 2 * END_SECONDS
    while command.process.poll() is None and time.monotonic() < deadline:
        site.send(frames=1)
        with suppress(subprocess.TimeoutExpired):
            command.process.wait(0.5)
    assert command.process.returncode == 0, command.err or command.out
    said = summary(tmp_path)
    assert said.ok
    assert said.custody.consumed > said.cameras.sent == said.cameras.intended > 0
    assert command.err == ""
    assert set(read(connection, 128).entries) == {f"somebody-{n}" for n in range(20)}


def test_an_interrupted_demo_drains_writes_its_results_and_leaves_nothing(
    demo: Demo, eventually: Eventually, tmp_path: Path
) -> None:
    """Ctrl-C reaches every process of the terminal's group, and the command alone acts on it."""
    command = demo(*LONG)
    sending(command)
    command.signal(signal.SIGINT, group=True)
    assert command.process.wait(END_SECONDS) == INTERRUPTED, command.err
    eventually(lambda: not command.left, "the end of everything", TRACKER_SECONDS)
    said = summary(tmp_path)
    assert said.ok, said.problems
    assert said.custody.consumed == said.cameras.sent > 0


def test_nothing_is_left_of_a_killed_demo(demo: Demo, eventually: Eventually) -> None:
    """After kill -9 its Kafka, its Ray and its cameras go, with their files."""
    command = demo(*LONG)
    sending(command)
    command.signal(signal.SIGKILL)
    assert command.process.wait(10) == -signal.SIGKILL
    eventually(lambda: not command.left, "the end of everything", LEFT_SECONDS)


def test_a_demo_that_cannot_account_for_a_frame_says_so_with_its_exit_code(
    demo: Demo, eventually: Eventually, tmp_path: Path
) -> None:
    """The frames were looked at and their offsets committed; without a receipt that counts for nothing."""
    command = demo(*SMALL, program=FORGETFUL)
    sending(command)
    assert command.process.wait(END_SECONDS) == CUSTODY, command.err
    said = summary(tmp_path)
    assert not said.ok
    assert not said.custody.balanced
    assert any("without an outcome" in problem for problem in said.problems)
    assert "NOT BALANCED" in command.out
    eventually(lambda: not command.left, "the end of everything", TRACKER_SECONDS)
