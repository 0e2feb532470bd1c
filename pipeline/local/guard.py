"""The process that outlives a kill -9 of its parent by just long enough to end what the parent started.

Run by its path, as a child and in a session of its own::

    python -I -S guard.py SOCKET PARENT GRACE FOLDER COMMAND...

It starts COMMAND and becomes the subreaper of its descendants, so that a daemon among them cannot slip away (prctl(2),
PR_SET_CHILD_SUBREAPER). When the parent PARENT has died, or has shut its end of SOCKET, every descendant gets SIGTERM,
after GRACE seconds SIGKILL, FOLDER is removed, and the guard ends. Two signs are watched because each alone can fail:
the socket stays open if another child of the parent inherited its end, and a parent that lives can want an end too.

What it says on SOCKET, a line each: ``started PID`` or ``failed WHY`` and, once COMMAND has ended, ``exited CODE``
(negative: by that signal). What it is told: one line with the GRACE that shall hold instead, and the word ``leave``
behind it if FOLDER has come to be another guard's to remove, before the end is shut.

Standard library only and few imports, since it is started each time: about 30 ms and 7 MB. Linux only.
"""

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""A terminal's Ctrl-C and a polite kill are the parent's to act on: it drains first and ends the guard then."""
LEAVE = b" leave\n"
PARENT_CHECK_SECONDS = 0.5
CHILD_CHECK_SECONDS = 0.05
KILL_SECONDS = 20.0
"""How long killed processes are waited for; one that hangs in the kernel must not keep the guard for ever."""


class Guard:
    """One command, watched from its start to the end of the last process that came of it."""

    def __init__(self, socket: int, parent: int, grace: float) -> None:
        self.socket = socket
        self.parent = parent
        self.grace = grace
        self.command = 0
        self.told = b""
        self.woken, wake = os.pipe()
        for end in (self.woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def start(self, command: list[str]) -> None:
        """Start `command`; it is killed if the guard is."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        told, tell = os.pipe()
        self.command = os.fork()
        if self.command == 0:
            become(command, tell)
        os.close(tell)
        fault = os.read(told, 4096)  # nothing once the command runs, which closes the other end
        os.close(told)
        self.say(f"failed {fault.decode()}" if fault else f"started {self.command}")

    def wait_for_parent(self) -> None:
        """Return once the parent has died or wants the end."""
        watched = select.poll()
        watched.register(self.socket, select.POLLIN)
        watched.register(self.woken, select.POLLIN)
        while os.getppid() == self.parent:
            ready = {descriptor for descriptor, _ in watched.poll(PARENT_CHECK_SECONDS * 1000)}
            self.reap()
            if self.socket in ready and not self.hear():
                return

    def hear(self) -> bool:
        """Take what the parent says; False once it has shut its end."""
        try:
            said = os.read(self.socket, 256)
        except ConnectionError:
            return False
        self.told += said
        return bool(said)

    def say(self, line: str) -> None:
        """Tell the parent, if it is still there."""
        with suppress(OSError):
            os.write(self.socket, f"{line}\n".encode())

    def reap(self) -> bool:
        """Collect children that have ended, adopted ones too; False if no child is left."""
        with suppress(BlockingIOError):
            os.read(self.woken, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.command:
                self.say(f"exited {os.waitstatus_to_exitcode(status)}")

    def end_all(self) -> None:
        """End every descendant: SIGTERM once, SIGKILL when the grace is over, until none is left."""
        with suppress(ValueError):
            self.grace = float(self.told.removesuffix(LEAVE))
        kill_at = time.monotonic() + self.grace
        asked: set[int] = set()
        while self.reap() and (now := time.monotonic()) < kill_at + KILL_SECONDS:
            for pid in descendants(os.getpid()):
                if now >= kill_at:
                    send(pid, signal.SIGKILL)
                elif pid not in asked:
                    asked.add(pid)
                    send(pid, signal.SIGTERM)
            select.select([self.woken], [], [], CHILD_CHECK_SECONDS)


def become(command: list[str], tell: int) -> None:
    """Turn this forked child into `command`, with the signals as a shell would set them; does not return.

    If that fails, the reason goes to `tell`.
    """
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in (*IGNORED, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execv(command[0], command)
    except OSError as error:
        os.write(tell, f"{command[0]} cannot be run: {error.strerror}".encode())
    finally:
        os._exit(127)


def prctl(option: int, value: int) -> None:
    """Call prctl(2); raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def processes() -> Iterator[tuple[int, int]]:
    """(pid, pid of its parent) of each process of the machine that has not ended."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib takes as long to import as the guard to start
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - the same
                # the name in brackets may hold spaces and brackets itself
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except OSError:
            continue  # it ended meanwhile
        if state not in {b"Z", b"X"}:
            yield int(name), int(parent)


def descendants(root: int) -> list[int]:
    """Pids of the processes below `root`, parents before their children."""
    children: dict[int, list[int]] = {}
    for pid, parent in processes():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    level = [root]
    while level:
        level = [child for pid in level for child in children.get(pid, ())]
        found += level
    return found


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def remove(folder: str) -> None:
    """Remove `folder`; what cannot be removed is named in the log, which goes with it if it can."""
    import shutil  # noqa: PLC0415 - imported when the work is done, to start fast

    shutil.rmtree(folder, onerror=lambda _, path, fault: os.write(2, f"{path} stays: {fault[1]}\n".encode()))


def main(arguments: list[str]) -> None:
    """Keep a command, by the arguments that the module's docstring names."""
    socket, parent, grace, folder, *command = arguments
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(int(socket), False)
    guard = Guard(int(socket), int(parent), float(grace))
    try:
        guard.start(command)
        guard.wait_for_parent()
    finally:
        guard.end_all()
        os.chdir("/")
        if not guard.told.endswith(LEAVE):
            remove(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
