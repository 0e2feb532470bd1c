"""Processes that render, detect and embed for an evaluation, and end with it."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog.difficulties import DIFFICULTIES
from pipeline.errors import ResourceError
from pipeline.synthetic.faces import enrolment_views
from pipeline.synthetic.identities import identity
from pipeline.synthetic.passes import StreetSpec
from pipeline.vision.child_process import end_with_parent
from pipeline.vision.embedder import CHUNK
from pipeline.vision.enrolment import merged
from pipeline.vision.eyes import Eyes, load_eyes
from pipeline.vision.forward import Precision
from pipeline.vision.probing import Probes, StreetProbes, probe_faces, probe_street

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


class Workers:
    """Runs functions of this module on many tasks, in `processes` processes, or in this one if that is 1.

    A context manager: its processes are gone at the end of the block, at once if the block ended by an exception.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None
        self._older: set[int | None] = set()

    def __enter__(self) -> Self:
        """Get ready; processes start with the first task."""
        if self._processes > 1:
            self._older = {child.pid for child in multiprocessing.active_children()}
            context = multiprocessing.get_context("spawn")  # a fork would inherit threads' locks
            self._pool = ProcessPoolExecutor(self._processes, mp_context=context, initializer=end_with_parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes."""
        if self._pool is None:
            return
        if kind is not None:
            for child in multiprocessing.active_children():
                if child.pid not in self._older:
                    child.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None

    def in_order(self, function: Callable[[Task], Outcome], tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield the outcomes in the order of the tasks, which may be endless: a few are worked on ahead.

        Raises ResourceError if a process dies.
        """
        if self._pool is None:
            yield from map(function, tasks)
            return
        waiting: deque[Future[Outcome]] = deque()
        try:
            for task in tasks:
                with _interrupts_held_back():
                    waiting.append(self._pool.submit(function, task))
                if len(waiting) > 2 * self._processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise ResourceError(
                "a process of the evaluation was ended from outside, perhaps for want of memory; use fewer --processes"
            ) from error
        finally:
            for each in waiting:
                each.cancel()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold Ctrl-C back for a moment in which processes start: they inherit that, and it reaches this one afterwards.

    A process that ignored it only once it was up would show a traceback of its imports.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@cache
def _eyes(precision: Precision, weights: Path | None) -> Eyes:
    return load_eyes(threads=1, precision=precision, folder=weights)


class EnrolmentTask(NamedTuple):
    """People to enrol, by identity seed, and the pictures of each."""

    people: tuple[int, ...]
    pictures: int
    weights: Path | None = None
    """Folder that training wrote; None: the shipped networks."""


class FacesTask(NamedTuple):
    """Single pictures to look at: (identity seed, number of the picture)."""

    people: tuple[tuple[int, int], ...]
    difficulty: str
    seed: int
    precision: Precision = "fp32"
    weights: Path | None = None


class StreetTask(NamedTuple):
    """A street to watch, and the quality of its JPEG."""

    spec: StreetSpec
    quality: int
    precision: Precision = "fp32"
    weights: Path | None = None


def enrol_people(task: EnrolmentTask) -> NDArray[np.float32]:
    """Return the templates of people, float32[P, d], in fp32 as watchlists are made, whatever the probes are in."""
    embedder = _eyes("fp32", task.weights).embedder
    templates = []
    together = max(1, CHUNK // task.pictures)  # people: in batches of one or two a crop takes longer
    for first in range(0, len(task.people), together):
        people = task.people[first : first + together]
        crops = np.concatenate([enrolment_views(identity(person), task.pictures) for person in people])
        templates += [merged(each) for each in np.split(embedder.embed(crops), len(people))]
    return np.stack(templates)


def look_at_faces(task: FacesTask) -> Probes:
    """Return what the eyes make of single pictures."""
    eyes = _eyes(task.precision, task.weights)
    return probe_faces(task.people, DIFFICULTIES[task.difficulty], task.seed, eyes.detector, eyes.embedder)


def watch_street(task: StreetTask) -> StreetProbes:
    """Return what the eyes make of a street."""
    eyes = _eyes(task.precision, task.weights)
    return probe_street(task.spec, task.quality, eyes.detector, eyes.embedder)
