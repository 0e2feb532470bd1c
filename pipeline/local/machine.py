"""What this machine has, and what processes on it take."""

import os
from pathlib import Path

from pipeline.local.guard import descendants


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def pss(pid: int) -> int:
    """Proportional set size of a process in bytes, shared pages divided among their users; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def tree_pss(pid: int) -> int:
    """Proportional set size of a process and all of its descendants together, in bytes."""
    return sum(pss(each) for each in [pid, *descendants(pid)])
