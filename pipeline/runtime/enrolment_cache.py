"""Templates of synthetic watchlists, kept per user: they are a function of seed, size, generator and networks alone."""

import hashlib
import os
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.local.artifacts import cache_folder

FOLDER = "watchlists"
GENERATORS = ("pipeline.synthetic", "pipeline.vision")
"""What a template depends on: every source and weights file of these packages goes into the key."""


def cached_templates(seed: int, size: int) -> NDArray[np.float32] | None:
    """The templates float32[size,d] of watchlist group `seed`, if this generator has made them before."""
    try:
        with _file(seed, size).open("rb") as file:
            templates: NDArray[np.float32] = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # not there, or cut off: they are made anew
    return templates if templates.ndim == 2 and len(templates) == size else None


def keep_templates(seed: int, size: int, templates: NDArray[np.float32]) -> None:
    """Keep templates for the next time; a cache that cannot be written is no reason to stop."""
    path = _file(seed, size)
    part = path.with_suffix(f".part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.save(file, templates, allow_pickle=False)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)


def _file(seed: int, size: int) -> Path:
    return cache_folder() / FOLDER / f"{_digest()}-{seed}-{size}.npy"


def _digest() -> str:
    digest = hashlib.sha256()
    for package in GENERATORS:
        for file in sorted(_sources(files(package)), key=lambda each: each.name):
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _sources(folder: Traversable) -> list[Traversable]:
    found: list[Traversable] = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _sources(each)
        elif each.name.endswith((".py", ".json", ".safetensors")):
            found.append(each)
    return found
