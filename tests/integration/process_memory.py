"""Searching the memory of another process for what it should not hold."""

import re
from collections.abc import Iterator
from errno import EIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WINDOW = 1 << 20
"""Bytes that are looked at at once for scattered components."""
COMPONENTS = 8


class ProcessMemory:
    """The writable memory of a process, which this one may look into: its child's, or anybody's as root."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def read(self, address: int, size: int) -> bytes:
        """What lies there."""
        with (self._folder / "mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(size)

    def copies(self, template: NDArray[np.float32]) -> list[int]:
        """Addresses where a template lies in one piece, at whatever alignment."""
        skipped = template.nbytes // 2
        middle = template.tobytes()[skipped : skipped + 16]  # what is freed loses its first bytes to the allocator
        return [
            begin + place.start() - skipped
            for begin, content in self._mappings()
            for place in re.finditer(re.escape(middle), content)
        ]

    def scattered(self, template: NDArray[np.float32]) -> list[int]:
        """Addresses of windows that hold a template's components in any order, as the arithmetic of a library may.

        A few of the components stand for all; that all of them are in a window by chance is out of the question.
        """
        wanted = template.view(np.uint32)[:: len(template) // COMPONENTS]
        return [
            begin + first
            for begin, content in self._mappings()
            for first in range(0, len(content), WINDOW)
            if (words := np.frombuffer(content[first : first + WINDOW], np.uint32)).any()
            and all((words == each).any() for each in wanted)
        ]

    def _mappings(self) -> Iterator[tuple[int, bytes]]:
        for line in (self._folder / "maps").read_text().splitlines():
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if found and not line.endswith("[vvar]"):
                begin, end = int(found[1], 16), int(found[2], 16)
                try:
                    yield begin, self.read(begin, end - begin)
                except OSError as error:
                    # a thread's stack that was unmapped since has nothing any more
                    if error.errno != EIO:
                        raise
