"""FAISS is there exactly once, or the message says what to install."""

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.matching import engine
from pipeline.matching.microkernel import ROWS


@pytest.fixture
def fresh() -> Iterator[None]:
    """The module is imported anew by the test, and again after it."""
    engine.faiss.cache_clear()
    yield
    engine.faiss.cache_clear()


def test_two_builds_are_refused(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """faiss-cpu and faiss-gpu lie over each other, so neither can be trusted."""
    monkeypatch.setattr(engine, "version", lambda name: "1.0")
    with pytest.raises(ModelError, match="faiss-cpu and faiss-gpu are both installed"):
        engine.faiss()


def test_no_build_is_one_clear_error(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever installed neither extra reads which one to install."""
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ModelError, match=r"pip install 'lamppost\[cpu\]'"):
        engine.faiss()


@pytest.mark.parametrize("probes", [1, engine.TILES_FROM_PROBES])
def test_nearest_rows_fall_by_inner_product(probes: int) -> None:
    """By FAISS and in tiles the numbers are rows, best first."""
    rows = np.zeros((ROWS + 1, 4), np.float32)
    rows[:3] = np.eye(4, dtype=np.float32)[[2, 0, 1]]
    rows[3:] = -1.0
    wanted = np.tile(np.array([0.1, 0.3, 0.2, 0.0], np.float32), (probes, 1))
    products, numbers = engine.nearest(wanted, rows, 3, threads=1)
    assert numbers.tolist() == [[2, 0, 1]] * probes
    np.testing.assert_allclose(products, [[0.3, 0.2, 0.1]] * probes, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("probes", [1, engine.TILES_FROM_PROBES])
def test_probe_that_is_not_finite_is_near_nothing(probes: int, value: float) -> None:
    """By FAISS and in tiles, and it takes nothing from the other probes of its batch."""
    rows = np.eye(2 * ROWS, dtype=np.float32)
    wanted = rows[:probes].copy()
    wanted[0, 3] = value
    products, numbers = engine.nearest(wanted, rows, 2, threads=1)
    assert numbers[0].tolist() == [-1, -1]
    assert products[0].tolist() == [-np.inf, -np.inf]
    assert numbers[1:, 0].tolist() == list(range(1, probes))


@pytest.mark.parametrize("probes", [1, 40])
def test_fewer_rows_than_a_tile(probes: int) -> None:
    """A watchlist of a few entries is searched as well."""
    rows = np.eye(2, dtype=np.float32)
    _, numbers = engine.nearest(np.tile(rows[1], (probes, 1)), rows, 2, threads=1)
    assert numbers.tolist() == [[1, 0]] * probes
