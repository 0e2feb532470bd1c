"""What is kept of batches on their way."""

from pipeline.actors.batch import Extent
from pipeline.records import OffsetRange


def test_what_was_consumed_in_turn_is_one_batch_as_old_as_its_last_record() -> None:
    """The age of a frame in its queue ends when it was taken, and no frame of it was taken later."""
    first = Extent(2, {0: 5, 1: 3}, (), b"membership", 4, 1_000)
    then = first.then(Extent(1, {1: 9}, (OffsetRange(1, 3, 8),), b"membership", 4, 1_500))
    assert then == Extent(3, {0: 5, 1: 9}, (OffsetRange(1, 3, 8),), b"membership", 4, 1_500)
