"""A child process that leaves nothing behind, however this process ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pipeline.local import guard

GRACE_SECONDS: Final = 5.0
"""From SIGTERM to SIGKILL when this process has died."""
START_SECONDS: Final = 20.0
END_SECONDS: Final = guard.KILL_SECONDS + 10.0
BLAME: Final = ("ERROR", "FATAL", "Error", "Exception")
"""What marks a line of a log that says why a process ended."""
KILLED: Final = "it was killed (SIGKILL); the system does that to a process when memory runs out"
EMPTY_WORDS: Final = (
    "at ",
    "... ",
    "Error: Could not create the Java",
    "Error: A fatal exception has occurred",
    "WARNING:",
)
"""How lines begin that do not: stack frames, and what Java adds to its reason."""


class Kept:
    """A running command, its descendants and its folder, all of which end when this process does.

    A guard process (see ``guard``) stands between this process and the command. It is in a session of its own, so a
    terminal's Ctrl-C reaches neither. Use as a context manager, or call stop(). May be used from any thread.
    """

    def __init__(self, guarding: "subprocess.Popen[bytes]", ours: socket.socket, folder: Path, log: Path) -> None:
        """Take over a guard that keep() has started; raises OSError if it does not say that the command runs."""
        self.folder = folder
        self.log = log
        self._guard = guarding
        self._socket = ours
        self._lock = threading.Lock()
        self._heard = b""
        self._exit_code: int | None = None
        self._over = False
        self.pid = self._await_start()
        """The command's process id; the guard is its parent."""

    @property
    def guard_pid(self) -> int:
        """The guard's process id: the root of the tree of everything that was started."""
        return self._guard.pid

    @property
    def exit_code(self) -> int | None:
        """What the command ended with (negative: by that signal); None while it runs.

        -9 if its guard was killed, since the command is killed then too.
        """
        self._hear(0.0)
        return self._exit_code

    def alive(self) -> bool:
        """Whether the command runs."""
        return self.exit_code is None

    def last_log_line(self) -> str:
        """The line of the log that tells best why the command ended; what is said of an empty log otherwise.

        A command that was killed had no time to write why, and what stands at the end of its log is no reason.
        """
        if self.exit_code == -signal.SIGKILL:
            return KILLED
        return telling_line(self.log) or "it left no log"

    def send(self, number: int) -> None:
        """Send the command a signal; does nothing if it has ended."""
        if self.alive():
            guard.send(self.pid, number)

    def stop(self, deadline_seconds: float = GRACE_SECONDS, *, leave_folder: bool = False) -> None:
        """End the command and its descendants, by SIGKILL after the deadline, and remove the folder.

        `leave_folder` leaves it to another Kept that was started in it meanwhile. Returns when all is done; does
        nothing the second time. Raises OSError if a process hangs in the kernel.
        """
        if self._socket.fileno() < 0:
            return
        try:
            self._socket.sendall(f"{deadline_seconds}".encode() + (guard.LEAVE if leave_folder else b"\n"))
            # not close(): this reaches the guard even if another child holds a copy of the descriptor
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._hear(0.0)  # the guard is gone, and says so
        try:
            self._guard.wait(deadline_seconds + END_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise OSError(f"a process below {self.guard_pid} cannot be ended; {self.folder} stays") from error
        self._hear(0.0)
        self._socket.close()
        if self.folder.exists() and not leave_folder:  # the guard was killed before it could
            guard.remove(str(self.folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _await_start(self) -> int:
        deadline = time.monotonic() + START_SECONDS
        while b"\n" not in self._heard and not self._over and time.monotonic() < deadline:
            self._hear(0.1)
        word, _, told = self._heard.partition(b"\n")[0].decode().partition(" ")
        if word == "started":
            return int(told)
        why = told or f"its guard did not start: {self.last_log_line()}"
        self._guard.kill()
        self._guard.wait()
        self._socket.close()
        guard.remove(str(self.folder))
        raise OSError(why)

    def _hear(self, timeout: float) -> None:
        """Take what the guard has said, waiting at most `timeout` seconds for it."""
        with self._lock:
            if self._over or self._socket.fileno() < 0:
                return
            self._socket.settimeout(timeout)
            try:
                said = self._socket.recv(4096)
            except (TimeoutError, BlockingIOError):
                return
            except ConnectionError:
                said = b""  # the guard was killed
            self._heard += said
            self._over = not said
            for line in self._heard.decode().splitlines():
                word, _, number = line.partition(" ")
                if word == "exited":
                    self._exit_code = int(number)
            if self._over and self._exit_code is None:
                self._exit_code = -9


def keep(
    command: Sequence[str],
    *,
    folder: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
    grace_seconds: float = GRACE_SECONDS,
) -> Kept:
    """Start `command` (its first word is a path) under a guard; `folder` is removed when it ends.

    `environment` replaces this process's own. Standard output and error are appended to `log`. `grace_seconds` after
    SIGTERM what is left gets SIGKILL, should this process die; see stop() for an end on purpose. Raises OSError, and
    removes `folder`, if the command or its guard cannot be started.
    """
    ours, theirs = socket.socketpair()
    words = [str(theirs.fileno()), str(os.getpid()), str(grace_seconds), str(folder), *command]
    try:
        with theirs, log.open("ab") as output:
            guarding = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if environment is None else dict(environment),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
    except OSError:
        ours.close()
        guard.remove(str(folder))
        raise
    return Kept(guarding, ours, folder, log)


def telling_line(log: Path) -> str:
    """The last line of a log that speaks of an error, else its last line; empty if there is none."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    except FileNotFoundError:
        return ""
    told = [line for line in lines if line and not line.startswith(EMPTY_WORDS)]
    blamed = [line for line in told if any(sign in line for sign in BLAME)]
    return next(reversed(blamed or told), "")
