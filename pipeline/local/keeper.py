"""A process that keeps a server alive for its parent, and leaves nothing behind when the parent goes.

Run as a script it needs the standard library alone, so it starts in a few hundredths of a second. It lives in a session
of its own (Ctrl-C in a terminal does not reach it), adopts whatever its server starts and abandons (Linux's
PR_SET_CHILD_SUBREAPER), and takes the end of its standard input for the end of its parent: a pipe closes however the
parent dies, kill -9 included.

It says ``pid N`` when the server has been started and ``exit N`` when the server ended by itself.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
LOOK_SECONDS = 0.1


class Kept:
    """A server under a keeper, as its parent sees it."""

    def __init__(self, keeper: "subprocess.Popen[bytes]", log: Path) -> None:
        self._keeper = keeper
        self._said = b""
        self.log = log
        while not self._said.startswith(b"pid ") or b"\n" not in self._said:
            if not self._listen(timeout=10.0):
                raise OSError(f"the server could not be started: {self.last_log_line()}")
        self.pid = int(self._said.split()[1])
        """Process id of the server."""

    def alive(self) -> bool:
        """Whether the server is still running."""
        while self._listen(timeout=0.0):
            continue
        return b"exit " not in self._said and self._keeper.poll() is None

    def stop(self, deadline_seconds: float = 15.0) -> None:
        """End the server and everything it started, and remove its folder; returns when that is done.

        A keeper that needs longer than the deadline is killed with its whole session.
        """
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        try:
            self._keeper.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):  # it ended between the two calls
                os.killpg(self._keeper.pid, signal.SIGKILL)
            self._keeper.wait()
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()

    def last_log_line(self) -> str:
        """The last line that the server wrote, for an error message."""
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return "it left no log"
        return lines[-1] if lines else "it left no log"

    def _listen(self, timeout: float) -> bool:
        """Take in what the keeper says; False if it says nothing within the time-out."""
        stdout = self._keeper.stdout
        if stdout is None or stdout.closed or not select.select([stdout], [], [], timeout)[0]:
            return False
        said = os.read(stdout.fileno(), 4096)
        self._said += said
        return bool(said)


def keep(
    command: Sequence[str],
    *,
    folder: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
    grace_seconds: float = 5.0,
) -> Kept:
    """Start `command` under a keeper; `folder` is removed when it ends, and so is everything the command started.

    The server gets SIGTERM first, and `grace_seconds` later whatever is left gets SIGKILL. Its output goes to `log`.
    Raises OSError if it cannot be started.
    """
    with log.open("ab") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(folder), str(grace_seconds), "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
    return Kept(keeper, log)


def descendants(pid: int) -> list[int]:
    """Process ids below `pid`, from /proc; zombies are not among them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # the command name, in brackets, may hold anything; the fields after it do not
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue  # it ended while we looked
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    below = [pid]
    while below:
        mine = children.get(below.pop(), [])
        found += mine
        below += mine
    return found


def _end_all(server: int, grace_seconds: float) -> None:
    if server in descendants(os.getpid()):
        _signal([server], signal.SIGTERM)
    until = time.monotonic() + grace_seconds
    while True:
        _reap()
        left = descendants(os.getpid())
        if not left:
            return
        if time.monotonic() > until:
            _signal(left, signal.SIGKILL)
        elif server not in left:
            # what the server left behind has nobody to wait for
            _signal(left, signal.SIGTERM)
        time.sleep(LOOK_SECONDS / 2)


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.kill(pid, number)


def _reap() -> dict[int, int]:
    """Exit statuses of the children that have ended, our own and adopted ones."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not pid:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def _say(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, which standard input will say
        os.write(1, f"{text}\n".encode())


def main(arguments: Sequence[str]) -> int:
    """Keep ``COMMAND`` of ``FOLDER GRACE -- COMMAND…`` until standard input ends."""
    folder, grace_seconds, _, *command = arguments
    # handlers and not SIG_IGN, which the server would inherit
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2).pid
    _say(f"pid {server}")
    try:
        while True:
            if select.select([0], [], [], LOOK_SECONDS)[0] and not os.read(0, 4096):
                return 0
            ended = _reap()
            if server in ended:
                _say(f"exit {ended[server]}")
    finally:
        _end_all(server, float(grace_seconds))
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
