"""Galleries: made once, kept whole or not at all, and gone on with after an interruption."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import ResourceError
from pipeline.runtime import galleries
from pipeline.runtime.evaluation_workers import EnrolmentTask, Workers
from pipeline.runtime.galleries import gallery
from pipeline.synthetic.seeds import Population


class Clerks(Workers):
    """Workers that make a template of a number in an instant, and stop after so many tasks."""

    def __init__(self, patience: int = 1000) -> None:
        super().__init__(1)
        self.enrolled: list[int] = []
        self._patience = patience

    def in_order(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        for number, task in enumerate(tasks):
            assert isinstance(task, EnrolmentTask)
            if number >= self._patience:
                raise KeyboardInterrupt
            self.enrolled += task.people
            yield np.array([[person % 1000] * 128 for person in task.people], np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for one test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def made(size: int, workers: Workers, number: int = 3, pictures: int = 6) -> NDArray[np.float32]:
    """A gallery without progress."""
    return gallery(
        Population.WATCHLIST, number, size, pictures, workers=workers, progress=lambda done, total: None
    )  # fmt: skip


def test_what_was_made_before_is_not_made_again() -> None:
    """The same bytes come from the cache."""
    first = made(250, Clerks())
    again = Clerks()
    np.testing.assert_array_equal(made(250, again), first)
    assert again.enrolled == []


def test_a_small_gallery_is_the_beginning_of_a_large_one() -> None:
    """Only the rest is made."""
    small = made(200, Clerks())
    more = Clerks()
    large = made(450, more)
    np.testing.assert_array_equal(large[:200], small)
    assert len(more.enrolled) == 250


def test_an_interrupted_gallery_is_gone_on_with() -> None:
    """The portions that were done are kept."""
    with pytest.raises(KeyboardInterrupt):
        made(500, Clerks(patience=2))
    rest = Clerks()
    assert len(made(500, rest)) == 500
    assert len(rest.enrolled) == 300


def test_a_file_that_was_cut_off_is_made_anew(cache: Path) -> None:
    """So is one of another shape."""
    made(200, Clerks())
    one, other = sorted(cache.rglob("*.npy"))
    one.write_bytes(one.read_bytes()[:100])
    np.save(other, np.zeros((3, 128), np.float32))
    again = Clerks()
    made(200, again)
    assert len(again.enrolled) == 200


def test_other_people_and_other_pictures_are_other_galleries(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so are those of another generator or embedder."""
    made(100, Clerks())
    for number, pictures in ((4, 6), (3, 2)):
        workers = Clerks()
        made(100, workers, number, pictures)
        assert len(workers.enrolled) == 100
    monkeypatch.setattr(galleries, "_digest", lambda _: "other")
    workers = Clerks()
    made(100, workers)
    assert len(workers.enrolled) == 100


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gallery is there all the same."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert len(made(100, Clerks())) == 100


def _double(number: int) -> int:
    return 2 * number


def _die(_: int) -> int:
    os._exit(1)


def test_outcomes_come_in_the_order_of_the_tasks_however_many() -> None:
    """Also from an endless row of tasks that is left in the middle."""

    def endless() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    with Workers(2) as workers:
        outcomes = workers.in_order(_double, endless())
        assert [next(outcomes) for _ in range(9)] == [2 * number for number in range(9)]
        outcomes.close()  # type: ignore[attr-defined]  # a generator


def test_a_process_that_dies_is_said() -> None:
    """Not waited for."""
    with pytest.raises(ResourceError, match="--processes"), Workers(2) as workers:
        list(workers.in_order(_die, range(3)))
