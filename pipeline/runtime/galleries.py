"""Galleries of synthetic people, made once in portions and kept in the user's cache.

A portion is a function of generator, embedder, people and number of pictures alone, so an interrupted command goes on
where it was, and the first entries of a large gallery are those of a small one.
"""

import hashlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.local.artifacts import cache_folder
from pipeline.runtime import kept_templates
from pipeline.runtime.evaluation_workers import EnrolmentTask, Workers, enrol_people
from pipeline.synthetic.seeds import Population, group
from pipeline.vision.networks import EMBEDDING
from pipeline.vision.weights import load_weights

FOLDER: Final = "galleries"
PORTION: Final = 100
"""People in a file."""


def gallery(
    population: Population,
    number: int,
    size: int,
    pictures: int,
    *,
    workers: Workers,
    progress: Callable[[int, int], None],
    weights: Path | None = None,
) -> NDArray[np.float32]:
    """Return the templates, float32[size, d], of the first people of group `number` of a population.

    Each is the normalised mean of so many studio pictures, by the embedder of the folder `weights` or the shipped one.
    `progress` is told how many there are, of how many.
    """
    people = group(population, number, size)
    folder = cache_folder() / FOLDER / f"{_digest(weights)}-{population.name.lower()}-{number}-{pictures}"
    templates = np.empty((size, EMBEDDING), np.float32)
    missing = []
    done = 0
    for first in range(0, size, PORTION):
        count = min(PORTION, size - first)
        kept = kept_templates.read(folder / _name(first, count), count, EMBEDDING)
        if kept is None:
            missing.append((first, count))
        else:
            templates[first : first + count] = kept
            done += count
    progress(done, size)
    tasks = (EnrolmentTask(people[first : first + count], pictures, weights) for first, count in missing)
    for (first, count), made in zip(missing, workers.in_order(enrol_people, tasks), strict=True):
        kept_templates.keep(folder / _name(first, count), made)
        templates[first : first + count] = made
        done += count
        progress(done, size)
    return templates


def _name(first: int, count: int) -> str:
    return f"{first:07d}-{count}.npy"


def _digest(weights: Path | None) -> str:
    """Return a name of what makes templates: the embedder's weights, and the sources of people and of enrolment."""
    digest = hashlib.sha256(load_weights("embedder", weights).version.encode())
    sources = [each for each in files("pipeline.synthetic").iterdir() if each.name.endswith(".py")]
    sources.append(files("pipeline") / "compiled.py")
    sources.append(files("pipeline.catalog") / "difficulties.py")  # looks and light of enrolment are drawn from it
    sources += [files("pipeline.vision") / name for name in ("embedder.py", "enrolment.py", "networks.py")]
    for source in sorted(sources, key=lambda each: each.name):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]
