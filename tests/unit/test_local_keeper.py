"""The guard: whatever way things end, no process and no file is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pipeline.local.keeper import Kept, keep, telling_line

Eventually = Callable[..., None]

SLEEP = ["/bin/sleep", "300"]
DAEMON = (
    "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: time.sleep(300)\n os._exit(0)\nos.wait()\n"
)
"""Leaves a process behind that is in another session and has lost its parents."""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(300)"
)


def python(code: str) -> list[str]:
    """The command that runs some Python."""
    return [sys.executable, "-I", "-S", "-c", code]


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Callable[[list[str]], Kept]]:
    """Starts a command in a folder of its own; stopped after the test, if the test did not."""
    started: list[Kept] = []

    def start(command: list[str]) -> Kept:
        folder = tmp_path / "kept"
        folder.mkdir()
        started.append(keep(command, folder=folder, log=folder / "log"))
        return started[-1]

    yield start
    for each in started:
        each.stop(0.0)


def test_stop_ends_the_command_and_removes_the_folder(kept: Callable[[list[str]], Kept]) -> None:
    """And says by which signal it ended."""
    sleeper = kept(SLEEP)
    assert sleeper.alive()
    assert sleeper.exit_code is None
    sleeper.stop()
    assert not alive(sleeper.pid)
    assert not alive(sleeper.guard_pid)
    assert not sleeper.folder.exists()
    assert sleeper.exit_code == -signal.SIGTERM
    sleeper.stop()  # a second time does nothing


def test_a_daemon_does_not_slip_away(kept: Callable[[list[str]], Kept], eventually: Eventually) -> None:
    """Another session and two forks do not help it."""
    parent = kept(python(f"{DAEMON}import time; time.sleep(300)"))
    guard = psutil.Process(parent.guard_pid)
    eventually(lambda: len(guard.children()) == 2, "the guard to adopt the daemon")
    pids = [child.pid for child in guard.children(recursive=True)]
    parent.stop()
    assert not any(alive(pid) for pid in pids)


def test_a_process_that_ignores_sigterm_is_killed_at_the_deadline(
    kept: Callable[[list[str]], Kept], eventually: Eventually
) -> None:
    """Not before it and soon after."""
    stubborn = kept(python(STUBBORN))
    eventually(lambda: "ready" in stubborn.log.read_text(), "the signal to be ignored")
    begun = time.monotonic()
    stubborn.stop(0.5)
    assert 0.5 <= time.monotonic() - begun < 5
    assert stubborn.exit_code == -signal.SIGKILL


def test_signals_of_a_terminal_end_nothing(kept: Callable[[list[str]], Kept], eventually: Eventually) -> None:
    """The guard is in another session than this process, and ignores what is sent to it alone."""
    sleeper = kept(SLEEP)
    assert os.getsid(sleeper.pid) == sleeper.guard_pid != os.getsid(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(sleeper.guard_pid, number)
    # the guard, awake by then, reports this end and not one of its own
    os.kill(sleeper.pid, signal.SIGUSR1)
    eventually(lambda: not sleeper.alive(), "the end to be told")
    assert sleeper.exit_code == -signal.SIGUSR1


def test_the_command_does_not_ignore_what_its_guard_ignores(
    kept: Callable[[list[str]], Kept], eventually: Eventually
) -> None:
    """Ignored signals survive an exec, so they are set back before it."""
    sleeper = kept(SLEEP)
    os.kill(sleeper.pid, signal.SIGINT)
    eventually(lambda: sleeper.exit_code == -signal.SIGINT, "SIGINT to end it")


def test_the_log_stays_until_stop_when_a_command_ends_by_itself(
    kept: Callable[[list[str]], Kept], eventually: Eventually
) -> None:
    """So that it can be said why."""
    failing = kept(python("import sys; sys.exit('Exception: no luck')"))
    eventually(lambda: failing.exit_code == 1, "the exit code")
    assert failing.last_log_line() == "Exception: no luck"


def test_a_command_that_cannot_be_run_is_an_error_at_once(kept: Callable[[list[str]], Kept], tmp_path: Path) -> None:
    """With the reason, and the folder is gone."""
    with pytest.raises(OSError, match="/does/not/exist cannot be run: No such file or directory"):
        kept(["/does/not/exist"])
    assert list(tmp_path.iterdir()) == []


def test_a_killed_guard_takes_its_command_along(kept: Callable[[list[str]], Kept], eventually: Eventually) -> None:
    """And the folder still goes at stop."""
    sleeper = kept(SLEEP)
    os.kill(sleeper.guard_pid, signal.SIGKILL)
    eventually(lambda: not alive(sleeper.pid), "the command to end")
    assert sleeper.exit_code == -signal.SIGKILL
    sleeper.stop()
    assert not sleeper.folder.exists()


def test_a_folder_is_left_to_the_next_that_is_kept_in_it(
    kept: Callable[[list[str]], Kept], eventually: Eventually
) -> None:
    """Also if its guard was killed; and the next one removes it."""
    first = kept(SLEEP)
    second = keep(SLEEP, folder=first.folder, log=first.log)
    third = keep(SLEEP, folder=first.folder, log=first.log)
    try:
        first.stop(leave_folder=True)
        os.kill(second.guard_pid, signal.SIGKILL)
        eventually(lambda: not second.alive(), "the second to end")
        second.stop(leave_folder=True)
        assert (alive(first.pid), third.alive(), first.folder.exists()) == (False, True, True)
    finally:
        third.stop()
    assert not first.folder.exists()


def test_a_signal_reaches_the_command_and_one_that_is_late_nobody(
    kept: Callable[[list[str]], Kept], eventually: Eventually
) -> None:
    """Its process id may be another's by then."""
    sleeper = kept(SLEEP)
    sleeper.send(signal.SIGUSR1)
    eventually(lambda: sleeper.exit_code == -signal.SIGUSR1, "the signal to end it")
    sleeper.send(signal.SIGTERM)


PARENT = """
import os, sys, time
from pathlib import Path
from pipeline.local.keeper import keep
folder = Path(sys.argv[1])
kept = keep(["/bin/sleep", "300"], folder=folder, log=folder / "log")
heir = os.fork() if sys.argv[2] == "fork" else 0
if heir == 0 and sys.argv[2] == "fork":
    time.sleep(300)
print(kept.pid, kept.guard_pid, heir, flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("heir", ["alone", "fork"])
def test_nothing_is_left_when_the_parent_is_killed(heir: str, tmp_path: Path, eventually: Eventually) -> None:
    """Not even if another child of the parent inherited its end of the socket and lives on."""
    folder = tmp_path / "kept"
    folder.mkdir()
    command = [sys.executable, "-c", PARENT, str(folder), heir]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, guard_pid, heir_pid = map(int, parent.stdout.readline().split())
        parent.kill()
        try:
            eventually(lambda: not alive(pid) and not alive(guard_pid), "command and guard to end")
            eventually(lambda: not folder.exists(), "the folder to go")
        finally:
            if heir_pid:
                os.kill(heir_pid, signal.SIGKILL)


def test_a_folder_that_cannot_be_used_is_an_error_at_once(tmp_path: Path) -> None:
    """Before any process is started."""
    with pytest.raises(OSError, match="No such file"):
        keep(SLEEP, folder=tmp_path / "missing", log=tmp_path / "missing" / "log")


def test_the_telling_line_is_the_last_error_and_no_stack_frame(tmp_path: Path) -> None:
    """The lines below an exception say where, not what."""
    log = tmp_path / "log"
    assert telling_line(log) == ""
    log.write_text(
        "starting\nERROR first\njava.net.BindException: Address already in use\n\tat a.b(C.java)\n\t... 3 more\nbye\n"
    )
    assert telling_line(log) == "java.net.BindException: Address already in use"
    log.write_text("starting\nbye\n\n")
    assert telling_line(log) == "bye"
