"""What the machine has and what processes take."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.local import machine


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this process's control group, two below a root that limits nothing."""
    own = tmp_path / "pod" / "box"
    own.mkdir(parents=True)
    (tmp_path / "membership").write_text("1:cpu:/old\n0::/pod/box\n")
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    return own


def test_cores_are_those_of_the_affinity_without_a_quota(container: Path) -> None:
    """`max` is no quota, and no file is none either."""
    (container / "cpu.max").write_text("max 100000\n")
    assert machine.cores() == 8


def test_cores_are_those_of_the_quota_rounded_up(container: Path) -> None:
    """Half a core more is worth a thread."""
    (container / "cpu.max").write_text("250000 100000\n")
    assert machine.cores() == 3


def test_a_quota_of_the_group_above_limits_as_well(container: Path) -> None:
    """The least one counts."""
    (container / "cpu.max").write_text("600000 100000\n")
    (container.parent / "cpu.max").write_text("50000 100000\n")
    assert machine.cores() == 1


def test_memory_available_is_the_containers_if_that_is_less(container: Path) -> None:
    """The limit less what is used, but for the file cache that can be dropped."""
    (container / "memory.max").write_text("1000000\n")
    (container / "memory.current").write_text("700000\n")
    (container / "memory.stat").write_text("anon 500000\ninactive_file 200000\n")
    assert machine.memory_available() == 500_000


def test_memory_available_is_the_machines_without_a_limit(container: Path) -> None:
    """And so it is more than any test would write."""
    (container / "memory.max").write_text("max\n")
    assert machine.memory_available() > 1_000_000


def test_disk_free_is_of_the_folders_file_system(tmp_path: Path) -> None:
    """As the system says it."""
    assert machine.disk_free(tmp_path) == pytest.approx(os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize)


def test_memory_of_a_tree_includes_what_a_child_takes_and_counts_it_once() -> None:
    """A child that fills 50 MB adds about as much, named or found below its parent."""
    filled = 50_000_000
    code = f"x = b'1' * {filled}; print(flush=True); input()"
    command = [sys.executable, "-I", "-S", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        alone, tree = machine.pss(os.getpid()), machine.tree_pss(os.getpid())
        assert filled < machine.pss(child.pid) < filled + 20_000_000
        assert tree - alone > filled
        assert machine.process_tree_pss([os.getpid(), child.pid]) < tree + filled / 2
        child.stdin.close()
    assert machine.pss(child.pid) == 0
