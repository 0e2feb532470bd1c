"""What is in a broker's files, whatever Kafka calls them at the moment."""

from collections.abc import Collection, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

READINGS: Final = 2
"""A folder that is listed while a file in it is renamed may show neither name, so nothing is missed by one listing."""


def still_there(folders: Iterable[Path], canaries: Collection[bytes]) -> frozenset[bytes]:
    """Which of the canaries are in any file below the folders, of segments, indexes and logs alike.

    No record may move from one folder to another.
    """
    found: set[bytes] = set()
    for folder in folders:
        for _ in range(READINGS):
            found |= _read_through(folder, set(canaries) - found)
    return frozenset(found)


def _read_through(folder: Path, canaries: set[bytes]) -> set[bytes]:
    """One reading of all files as they are at one moment: what is open can be read, whatever becomes of its name."""
    with ExitStack() as stack:
        missing = set(canaries)
        for file in _opened(folder, stack) if canaries else ():
            content = file.read()
            missing -= {canary for canary in missing if canary in content}
        return canaries - missing


def _opened(folder: Path, stack: ExitStack) -> list[BinaryIO]:
    """Every file, open; listed anew if one went meanwhile, since its records may be in one that came too late."""
    while True:
        with ExitStack() as attempt:
            try:
                # a file that has gone is no folder, and is missed when it is opened
                paths = [path for path in folder.rglob("*") if not path.is_dir()]
                files: list[BinaryIO] = [attempt.enter_context(path.open("rb")) for path in paths]
            except FileNotFoundError:
                continue
            stack.push(attempt.pop_all())
            return files
