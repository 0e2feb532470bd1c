"""FAISS is there exactly once, or the message says what to install."""

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.matching import engine


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


def test_batches_are_multiplied_by_blas(fresh: None) -> None:
    """The wheel's default would keep BLAS off for every batch that Lamppost makes."""
    assert engine.faiss().cvar.distance_compute_blas_threshold == engine.BLAS_FROM_PROBES


@pytest.mark.parametrize("probes", [1, engine.BLAS_FROM_PROBES])
def test_nearest_rows_fall_by_inner_product(probes: int) -> None:
    """With and without BLAS the numbers are rows, best first."""
    rows = np.eye(4, dtype=np.float32)[[2, 0, 1]]
    wanted = np.tile(np.array([0.1, 0.3, 0.2, 0.0], np.float32), (probes, 1))
    products, numbers = engine.nearest(wanted, rows, 3, threads=1)
    assert numbers.tolist() == [[2, 0, 1]] * probes
    np.testing.assert_allclose(products, [[0.3, 0.2, 0.1]] * probes, atol=1e-6)
