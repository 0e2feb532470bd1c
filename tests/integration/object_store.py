"""What Ray's object store on this machine has held, by its own count and by the bytes that are there."""

import mmap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

GREETING_BYTES = 8
"""Each process of Ray makes one object of this size, and drops it, to see whether the store answers."""


class ObjectStore:
    """Ray's object store on this machine, and everything that Ray writes into its folder."""

    def __init__(self, ray: Any) -> None:
        (node,) = ray.nodes()
        self._address, self._port = node["NodeManagerAddress"], node["NodeManagerPort"]
        self._session = Path(ray._private.worker.global_worker.node.get_session_dir_path())
        raylets = [each for each in psutil.process_iter(["name"]) if each.info["name"] == "raylet"]
        (self._raylet,) = [each.pid for each in raylets if str(self._session) in " ".join(each.cmdline())]

    @property
    def created(self) -> int:
        """How many objects ever entered it."""
        return int(self._stats().cumulative_created_objects)

    def usage(self) -> tuple[int, int]:
        """Bytes in the store now, and bytes that ever entered it beyond the 8 of each process that connects to it."""
        store = self._stats()
        greetings = GREETING_BYTES * store.cumulative_created_objects
        return int(store.object_store_bytes_used), int(store.cumulative_created_bytes - greetings)

    def holds(self, canary: bytes) -> bool:
        """Whether these bytes lie in the store's memory or in any file of the session."""
        memory = list(self._memory())
        assert memory, "the store's memory was not found"
        files = [path for path in self._session.rglob("*") if path.is_file() and not path.is_symlink()]
        assert files
        return any(_contains(path, canary) for path in (*memory, *files))

    def _stats(self) -> Any:
        from ray._private.internal_api import node_stats  # noqa: PLC0415  # it takes a second, as in the fixture

        stats: Any = node_stats(self._address, self._port, include_memory_info=False)  # type: ignore[no-untyped-call]  # Ray's own
        return stats.store_stats

    def _memory(self) -> Iterator[Path]:
        """Plasma maps files that it has deleted already; its descriptors still lead to them."""
        for descriptor in Path(f"/proc/{self._raylet}/fd").iterdir():
            with suppress(OSError):
                if "plasma" in str(descriptor.readlink()):
                    yield descriptor


def _contains(path: Path, canary: bytes) -> bool:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(canary) >= 0
    except (ValueError, FileNotFoundError):
        return False  # an empty file, or one that went away
