"""What a jump in the offsets of a partition means: expired, or a break of custody."""

from pipeline.errors import CustodyError
from pipeline.records import OffsetRange


def explain_gap(partition: int, expected: int, delivered: int, log_start: int) -> OffsetRange:
    """The expired range between the offset that was expected and the one that came.

    `log_start` is the partition's log start offset, asked of the broker when the gap was met. Raises CustodyError if
    the gap reaches to or above it: retention did not take those records.
    """
    if delivered > log_start:
        first = max(expected, log_start)
        raise CustodyError(
            f"partition {partition}: offsets {first} to {delivered - 1} were not delivered, though the log starts at "
            f"{log_start}; nobody accounts for them (transactional producers on this topic leave such gaps as well)"
        )
    return OffsetRange(partition, expected, delivered)


def check_order(partition: int, expected: int, delivered: int) -> None:
    """Raise CustodyError if a record came that was delivered before."""
    if delivered < expected:
        raise CustodyError(f"partition {partition}: offset {delivered} was delivered again, expected {expected}")


def explain_reset(partition: int, position: int, log_start: int, log_end: int) -> OffsetRange | None:
    """The expired range when the broker has no record at `position`; None if it has by now.

    Raises CustodyError if the log ends before `position`: it was cut off or made anew.
    """
    if position < log_start:
        return OffsetRange(partition, position, log_start)
    if position > log_end:
        raise CustodyError(
            f"partition {partition}: the log ends at offset {log_end}, before offset {position} which was to be read "
            f"next; it was cut off, or the topic was made anew under the same name"
        )
    return None
