"""What is in a broker's files, whatever Kafka calls them at the moment."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

READINGS: Final = 2
"""A folder that is listed while a file in it is renamed may show neither name, so nothing is missed by one listing."""


def still_there(folders: Iterable[Path], canaries: Collection[bytes]) -> frozenset[bytes]:
    """Which of the canaries are in any file below the folders, of segments, indexes and logs alike."""
    folders = tuple(folders)
    found: set[bytes] = set()
    for _ in range(READINGS):
        found |= _read_through(folders, set(canaries) - found)
    return frozenset(found)


def _read_through(folders: tuple[Path, ...], canaries: Collection[bytes]) -> set[bytes]:
    """One reading of all files; begun again if one goes meanwhile, whose records may be in one that came since."""
    while canaries:
        try:
            # a file that has gone is no folder, and is missed when it is opened
            paths = [path for folder in folders for path in folder.rglob("*") if not path.is_dir()]
            return _found(paths, canaries)
        except FileNotFoundError:
            continue
    return set()


def _found(paths: Iterable[Path], canaries: Collection[bytes]) -> set[bytes]:
    missing = set(canaries)
    for path in paths:
        content = path.read_bytes()
        missing -= {canary for canary in missing if canary in content}
    return set(canaries) - missing
