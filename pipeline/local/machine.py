"""What this machine has, within the limits of the container if there is one, and what processes on it take."""

import math
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from pipeline.local.guard import descendants

CGROUPS: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")


def cores() -> int:
    """Cores that this process may keep busy: those of its affinity, or its CPU quota rounded up; 1 at least."""
    allowed = float(len(os.sched_getaffinity(0)))
    return max(1, math.ceil(min([allowed, *map(_quota, _groups())])))


def memory_available() -> int:
    """Bytes that can be taken without swapping, of the machine or of the container, whichever is less."""
    rooms = [room for folder in _groups() if (room := _memory_room(folder)) is not None]
    available: int = psutil.virtual_memory().available
    return min([available, *rooms])


def disk_free(folder: Path) -> int:
    """Bytes free for this user on the file system of `folder`."""
    return shutil.disk_usage(folder).free


def pss(pid: int) -> int:
    """Proportional set size of a process in bytes, shared pages divided among their users; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def tree_pss(pid: int) -> int:
    """Proportional set size of a process and all of its descendants together, in bytes."""
    return process_tree_pss([pid])


def process_tree_pss(pids: Iterable[int]) -> int:
    """Proportional set size of some processes and all of their descendants together, each counted once, in bytes."""
    return sum(pss(each) for each in {each for pid in pids for each in (pid, *descendants(pid))})


def _groups() -> Iterator[Path]:
    """The folders of this process's control groups (version 2), from its own to the root: each one limits."""
    path = ""
    with suppress(OSError):
        for line in MEMBERSHIP.read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):
                path = line.removeprefix("0::/")
    own = CGROUPS / path
    yield own
    while CGROUPS in own.parents:
        own = own.parent
        yield own


def _quota(folder: Path) -> float:
    """Cores by the CPU quota of one control group; inf without one."""
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return math.inf
    return math.inf if quota == "max" else int(quota) / int(period)


def _memory_room(folder: Path) -> int | None:
    """Bytes up to the memory limit of one control group, with what it can drop of its file cache; None without one."""
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        counts = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used + int(counts.get("inactive_file", 0)))
