"""Receipts are as short as they can be, and a batch whose outcomes do not add up is not committed."""

import random
import time

import pytest

from pipeline.catalog.outcomes import Outcome
from pipeline.core.custody import Coverage, check_batch, receipt_ranges
from pipeline.errors import CustodyError
from pipeline.records import OffsetRange, OutcomeRange

PROCESSED, SHED, EXPIRED = Outcome.PROCESSED, Outcome.SHED, Outcome.EXPIRED


def test_neighbouring_offsets_share_a_range() -> None:
    """Runs of the same outcome become one range, whatever the order they come in."""
    outcomes = [(1, 7, PROCESSED), (0, 5, SHED), (0, 3, PROCESSED), (0, 4, PROCESSED)]
    assert receipt_ranges(outcomes) == (
        OutcomeRange(0, 3, 5, PROCESSED),
        OutcomeRange(0, 5, 6, SHED),
        OutcomeRange(1, 7, 8, PROCESSED),
    )


def test_expired_gap_takes_its_place_between_outcomes() -> None:
    """What retention deleted is accounted for beside what was read."""
    ranges = receipt_ranges([(0, 9, PROCESSED)], [OffsetRange(0, 2, 9)])
    assert ranges == (OutcomeRange(0, 2, 9, EXPIRED), OutcomeRange(0, 9, 10, PROCESSED))
    check_batch({0: (2, 10)}, ranges)


def test_nothing_consumed_needs_no_receipt() -> None:
    """An empty batch is in order."""
    assert receipt_ranges([]) == ()
    check_batch({}, ())
    check_batch({0: (5, 5)}, ())


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([4, 5, 7], "partition 3: offset 6 without an outcome"),
        ([5, 6, 7], "partition 3: offset 4 without an outcome"),
        ([4, 5], "partition 3: offsets 6 to 7 without an outcome"),
        ([4, 5, 6, 6, 7], "partition 3: offset 6 with more than one outcome"),
        ([4, 5, 6, 7, 8], "partition 3: offset 8 with an outcome but not consumed"),
        ([2, 3, 4, 5, 6, 7], "partition 3: offsets 2 to 3 with an outcome but not consumed"),
    ],
)
def test_batch_that_does_not_add_up_is_refused(offsets: list[int], message: str) -> None:
    """A gap, an overlap or an offset from elsewhere names partition and offsets."""
    ranges = receipt_ranges([(3, offset, PROCESSED) for offset in offsets])
    with pytest.raises(CustodyError) as caught:
        check_batch({3: (4, 8)}, ranges)
    assert str(caught.value) == message


def test_partition_without_any_outcome_is_a_gap() -> None:
    """Dropping all frames of one partition is seen, although no range mentions it."""
    with pytest.raises(CustodyError, match="partition 1: offsets 0 to 1 without an outcome"):
        check_batch({0: (0, 1), 1: (0, 2)}, receipt_ranges([(0, 0, PROCESSED)]))


def test_outcomes_of_an_unassigned_partition_are_refused() -> None:
    """A partition that the batch did not consume cannot have outcomes in it."""
    with pytest.raises(CustodyError, match="partition 2: offset 0 with an outcome but not consumed"):
        check_batch({}, receipt_ranges([(2, 0, PROCESSED)]))


def test_empty_range_is_refused() -> None:
    """A receipt that was written wrongly does not pass for a short one."""
    with pytest.raises(CustodyError, match="holds no offset"):
        check_batch({0: (0, 5)}, [OutcomeRange(0, 5, 5, PROCESSED)])


def test_counts_name_every_outcome() -> None:
    """A summary has a figure for each outcome, and expired frames do not count as consumed."""
    coverage = Coverage()
    coverage.add([OutcomeRange(0, 0, 10, PROCESSED), OutcomeRange(0, 10, 12, SHED), OutcomeRange(0, 12, 13, EXPIRED)])
    assert dict(coverage.counts) == {**dict.fromkeys(Outcome, 0), PROCESSED: 10, SHED: 2, EXPIRED: 1}
    assert coverage.consumed == 12


def test_gaps_and_overlaps_of_a_run_are_located() -> None:
    """What is missing or doubled is known by partition and offsets while the run goes on."""
    coverage = Coverage()
    coverage.add([OutcomeRange(0, 0, 4, PROCESSED), OutcomeRange(0, 6, 9, PROCESSED), OutcomeRange(1, 3, 5, SHED)])
    coverage.add([OutcomeRange(1, 4, 7, PROCESSED)])
    assert coverage.gaps == (OffsetRange(0, 4, 6),)
    assert coverage.overlaps == (OffsetRange(1, 4, 5),)
    assert not coverage.balanced({0: (0, 9), 1: (3, 7)})


def test_late_receipt_closes_a_gap() -> None:
    """Receipts of several workers may arrive in any order."""
    coverage = Coverage()
    for first in (6, 0, 3):
        coverage.add([OutcomeRange(0, first, first + 3, PROCESSED)])
    assert coverage.balanced({0: (0, 9)})


def test_hundred_thousand_receipts_in_any_order_take_seconds_not_minutes() -> None:
    """A long run is audited while it goes on; quadratic growth would show here."""
    receipts = [[OutcomeRange(p, 10 * i, 10 * i + 10, PROCESSED)] for p in range(4) for i in range(25_000)]
    random.Random(1).shuffle(receipts)
    coverage = Coverage()
    started = time.process_time()
    for receipt in receipts:
        coverage.add(receipt)
    assert time.process_time() - started < 5
    assert coverage.balanced(dict.fromkeys(range(4), (0, 250_000)))
    assert coverage.counts[PROCESSED] == 1_000_000
