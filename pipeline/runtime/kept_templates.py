"""Templates that a user's cache keeps between commands: a file each, whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def read(path: Path, count: int) -> NDArray[np.float32] | None:
    """The templates float32[count, d] of a file; None if it is not there, cut off, or of another number."""
    try:
        templates: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # they are made anew
    return templates if templates.ndim == 2 and len(templates) == count else None


def keep(path: Path, templates: NDArray[np.float32]) -> None:
    """Keep templates for the next time; a cache that cannot be written is no reason to stop."""
    part = path.with_suffix(f".part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.save(file, templates, allow_pickle=False)
        part.replace(path)
    except OSError:
        with suppress(OSError):  # what cannot be written cannot always be removed
            part.unlink(missing_ok=True)
