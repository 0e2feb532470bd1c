"""Templates that a user's cache keeps between commands: a file each, whole or not at all."""

import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

HEADER: Final = 128
"""Bytes before the templates: what NumPy writes for two dimensions, which is a multiple of 64."""


def read(path: Path, count: int, width: int | None = None) -> NDArray[np.float32] | None:
    """The templates float32[count, width] of a file as `keep` writes it, or None: then they are made anew.

    Without a `width` any is right. A file that is not there, is cut off or damaged, or holds anything else is None. Its
    header is compared with the one that these templates have and never parsed, for NumPy parses it as Python, and what
    a damaged one raises is any error of a compiler.
    """
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    if width is None:
        width = max(0, len(kept) - HEADER) // (4 * max(1, count))
    if width == 0 or len(kept) != HEADER + 4 * count * width or kept[:HEADER] != _header(count, width):
        return None
    return np.frombuffer(kept, np.dtype("<f4"), offset=HEADER).reshape(count, width).astype(np.float32)


def _header(count: int, width: int) -> bytes:
    out = BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
    np.lib.format.write_array_header_1_0(out, shape)
    return out.getvalue()


def keep(path: Path, templates: NDArray[np.float32]) -> None:
    """Keep templates for the next time; a cache that cannot be written is no reason to stop."""
    part = path.with_suffix(f".part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.save(file, np.ascontiguousarray(templates, "<f4"), allow_pickle=False)
        part.replace(path)
    except OSError:
        with suppress(OSError):  # what cannot be written cannot always be removed
            part.unlink(missing_ok=True)
