"""A disk that can be filled is this process's own, and goes with it."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import errno, sys
from loadtest.faults_disk import SmallDisk
from pipeline.errors import ResourceError
try:
    disk = SmallDisk()
except ResourceError as error:
    sys.exit(f"not allowed: {error}")
print(disk.folder, disk.free > 0)
disk.fill()
try:
    (disk.folder / "more").write_bytes(b"x")
    print("there was room")
except OSError as error:
    print(errno.errorcode[error.errno], disk.free)
disk.relieve()
(disk.folder / "more").write_bytes(b"x")
print((disk.folder / "more").read_bytes(), disk.free > 0)
if sys.argv[1] == "closed":
    disk.close()
"""


@pytest.mark.parametrize("end", ["closed", "left"])
def test_a_full_disk_takes_no_byte_and_nobody_else_sees_it(end: str) -> None:
    """Nothing of it is mounted afterwards, closed or not; in a process of its own, as a namespace is a process's."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, end], capture_output=True, text=True, check=False)
    if "not allowed" in done.stderr:
        pytest.skip(done.stderr.strip())
    where, full, relieved = done.stdout.splitlines()
    folder = Path(where.split()[0])
    assert (where.split()[1], full, relieved) == ("True", "ENOSPC 0", "b'x' True")
    assert str(folder) not in Path("/proc/self/mounts").read_text()
    assert folder.exists() == (end == "left")
    if end == "left":
        assert list(folder.iterdir()) == []
        folder.rmdir()
