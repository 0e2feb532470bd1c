"""The contact sheet of the docs."""

import numpy as np

from loadtest.people import SIDE, sheet


def test_a_sheet_has_a_row_per_person_and_is_made_again_the_same() -> None:
    """Enrolment, and two days at each of the four difficulties; other seeds show other people."""
    first = sheet(1, 2)
    assert first.shape == (2 * SIDE, 9 * SIDE, 3)
    assert np.array_equal(first, sheet(1, 2))
    assert not np.array_equal(first, sheet(2, 2))
