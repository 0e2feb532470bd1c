"""Searches: exact, in blocks, and brought together by pass."""

import numpy as np
import pytest

from pipeline.evaluation.exact import search
from pipeline.evaluation.searches import Mated, NonMated


def test_a_search_in_blocks_is_a_search_at_once() -> None:
    """Best score, row and own score do not depend on the blocks."""
    draw = np.random.default_rng(0)
    probes, gallery = (draw.normal(size=(n, 8)).astype(np.float32) for n in (23, 57))
    own = draw.integers(-1, 57, 23)
    at_once = search(probes, gallery, own)
    in_blocks = search(probes, gallery, own, probe_block=5, entry_block=7)
    scores = probes @ gallery.T
    np.testing.assert_allclose(at_once.best, scores.max(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(at_once.row, scores.argmax(axis=1))
    np.testing.assert_allclose(at_once.own[own >= 0], scores[np.arange(23), own][own >= 0], rtol=1e-5)
    assert np.all(at_once.own[own < 0] == -np.inf)
    np.testing.assert_array_equal(in_blocks.row, at_once.row)
    np.testing.assert_allclose(in_blocks.own, at_once.own, rtol=1e-5)


def test_equal_entries_are_told_by_their_place() -> None:
    """The lower row is first, also across blocks."""
    gallery = np.eye(4, dtype=np.float32)[[1, 0, 0, 2]]
    assert search(np.eye(4, dtype=np.float32)[:1], gallery, entry_block=2).row.tolist() == [1]


def test_rows_outside_the_gallery_are_refused() -> None:
    """So is an empty gallery."""
    probe = np.ones((1, 4), np.float32)
    with pytest.raises(ValueError, match="no row 3"):
        search(probe, np.ones((2, 4), np.float32), np.array([3]))
    with pytest.raises(ValueError, match="gallery of 0"):
        search(probe, np.empty((0, 4), np.float32))


def test_a_stranger_s_pass_is_its_best_frame() -> None:
    """Whatever the order of frames, and a pass without a face has none."""
    searches = NonMated(
        np.array([0.2, 0.9, 0.5, -np.inf], np.float32), np.array([4, 5, 4, 6]), np.array([0, 1, 0, 2])
    ).per_pass()
    assert searches.best.tolist() == pytest.approx([0.5, 0.9, -np.inf])
    assert searches.person.tolist() == [4, 5, 6]
    assert searches.acquired.tolist() == [True, True, False]


def test_a_mated_pass_counts_by_a_frame_that_is_first_and_high_at_once() -> None:
    """A high score at rank 2 and a low one at rank 1 make the low one: no frame had both."""
    searches = Mated(
        np.array([0.9, 0.4, 0.3, 0.6], np.float32),
        np.array([False, True, True, False]),
        np.array([1, 1, 1, 2]),
        np.array([7, 7, 7, 8]),
    ).per_pass()
    assert searches.own.tolist() == pytest.approx([0.4, 0.6])
    assert searches.rank_one.tolist() == [True, False]
    assert searches.counted.tolist() == pytest.approx([0.4, -np.inf])


def test_columns_of_different_lengths_are_refused() -> None:
    """They are not of the same searches."""
    with pytest.raises(ValueError, match="rows"):
        NonMated(np.zeros(2, np.float32), np.zeros(2, np.int64), np.zeros(3, np.int64))
