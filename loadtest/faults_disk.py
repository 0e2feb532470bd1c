"""A small disk of its own for Ray's folders, that can be filled to the last byte.

It is a file system in memory (tmpfs) mounted where only this process and its children see it, so that it is gone when
the last of them has ended, whatever ended them. That takes the right to mount, as root has it.
"""

import ctypes
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from pipeline.errors import ResourceError

CLONE_NEWNS: Final = 0x00020000
"""unshare(2): a mount namespace of one's own."""
SIZE: Final = "256m"
"""Some times what Ray writes there in an hour."""
BLOCK_BYTES: Final = 1024 * 1024


class SmallDisk:
    """Mounted when it is made; raises ResourceError where that is not allowed.

    Has to be made before this process has other threads: a mount namespace belongs to a thread.
    """

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) != 0:
            raise ResourceError(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
        self.folder = Path(tempfile.mkdtemp(prefix="lp-d-", dir="/tmp"))
        try:
            _run("mount", "--make-rprivate", "/")
            _run("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "lamppost-faults", str(self.folder))
        except ResourceError:
            self.folder.rmdir()
            raise
        self._ballast = self.folder / "ballast"

    @property
    def free(self) -> int:
        """Bytes that are left."""
        state = os.statvfs(self.folder)
        return state.f_bavail * state.f_frsize

    def fill(self) -> None:
        """Take every byte that is left."""
        with self._ballast.open("ab", buffering=0) as file:
            block = BLOCK_BYTES
            while block:
                try:
                    file.write(bytes(block))
                except OSError:
                    block //= 2

    def relieve(self) -> None:
        """Give them back."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it, and remove the folder that it was mounted on; whoever still uses it does so until its end."""
        _run("umount", "--lazy", str(self.folder))
        self.folder.rmdir()


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ResourceError(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        raise ResourceError(done.stderr.strip() or f"{command[0]} failed")
