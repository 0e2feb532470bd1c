"""A jump in offsets is expired below the log start, and a break of custody anywhere else."""

import pytest

from pipeline.errors import CustodyError
from pipeline.records import OffsetRange
from pipeline.streams.gaps import check_order, explain_gap, explain_reset


@pytest.mark.parametrize("log_start", [10, 11, 500])
def test_a_gap_that_ends_at_or_below_the_log_start_is_expired(log_start: int) -> None:
    """Retention had deleted all of it when it was met, and maybe more since."""
    assert explain_gap(3, 4, 10, log_start) == OffsetRange(3, 4, 10)


@pytest.mark.parametrize(("log_start", "first"), [(0, 4), (4, 4), (5, 5), (9, 9)])
def test_a_gap_above_the_log_start_breaks_custody(log_start: int, first: int) -> None:
    """The message names the partition and the offsets that retention does not explain."""
    with pytest.raises(CustodyError, match=f"partition 3: offsets {first} to 9 "):
        explain_gap(3, 4, 10, log_start)


def test_a_record_that_comes_twice_breaks_custody() -> None:
    """It would be alerted on twice."""
    check_order(0, 5, 5)
    check_order(0, 5, 9)
    with pytest.raises(CustodyError, match="partition 0: offset 4 was delivered again"):
        check_order(0, 5, 4)


def test_a_position_below_the_log_has_expired_up_to_its_start() -> None:
    """Also if nothing is left behind it."""
    assert explain_reset(1, 4, 9, 20) == OffsetRange(1, 4, 9)
    assert explain_reset(1, 4, 9, 9) == OffsetRange(1, 4, 9)


def test_a_position_within_the_log_is_no_gap() -> None:
    """The broker may have caught up between its refusal and the question."""
    assert explain_reset(1, 4, 4, 4) is None
    assert explain_reset(1, 4, 0, 9) is None


def test_a_log_that_ends_before_the_position_breaks_custody() -> None:
    """It was cut off, or is another topic of the same name."""
    with pytest.raises(CustodyError, match="partition 1: the log ends at offset 3, before offset 4"):
        explain_reset(1, 4, 0, 3)
