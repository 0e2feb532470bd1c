"""Templates of synthetic watchlists, kept per user: they are a function of seed, size, generator and networks alone."""

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError
from pipeline.local.artifacts import cache_folder
from pipeline.runtime import kept_templates
from pipeline.vision.model_manifest import read_model_manifest

FOLDER = "watchlists"
GENERATORS = ("pipeline.catalog", "pipeline.synthetic", "pipeline.vision")
"""What a template depends on, and how numba compiles it: every source of these packages goes into the key, and the sums
of the weights."""


def model_key(manifest: Path | None, weights: Path | None = None) -> str:
    """What tells an embedder's templates from those of others in the cache: empty for the shipped one.

    It is the user's own if there is a `manifest`, else that of the folder `weights`, else the shipped one. Raises
    ModelError if its files cannot be read.
    """
    if manifest is not None:
        made_by = [manifest, manifest.parent / read_model_manifest(manifest, "embedder").file]
        remedy = "set vision.embedder_model to the manifest of a model that is there"
    elif weights is not None:
        made_by = [weights / "manifest.json"]  # which has the sums of the weights
        remedy = "set vision.weights to a folder that `lamppost train` wrote"
    else:
        return ""
    digest = hashlib.sha256()
    for file in made_by:
        try:
            digest.update(file.read_bytes())
        except OSError as error:
            raise ModelError(f"the model's file {file} cannot be read ({error.strerror}); {remedy}") from error
    return f"{digest.hexdigest()[:16]}-"


def cached_templates(seed: int, size: int, model: str = "") -> NDArray[np.float32] | None:
    """The templates float32[size,d] of watchlist group `seed`, if this generator has made them before.

    `model` is what `model_key` says of the embedder.
    """
    return kept_templates.read(_file(seed, size, model), size)


def keep_templates(seed: int, templates: NDArray[np.float32], model: str = "") -> None:
    """Keep templates for the next time; a cache that cannot be written is no reason to stop."""
    kept_templates.keep(_file(seed, len(templates), model), templates)


def _file(seed: int, size: int, model: str) -> Path:
    return cache_folder() / FOLDER / f"{generator_digest()}-{model}{seed}-{size}.npy"


def generator_digest() -> str:
    """What changes with any source or weights that pictures and templates of synthetic people depend on."""
    digest = hashlib.sha256((files("pipeline") / "compiled.py").read_bytes())
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
        elif each.name.endswith((".py", ".json")):
            found.append(each)
    return found
