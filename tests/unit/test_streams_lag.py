"""How many frames of a group wait, from three answers of Kafka."""

import pytest

from pipeline.streams.client import Connection
from pipeline.streams.lag import GroupLag, waiting


def test_what_was_committed_and_what_was_deleted_does_not_wait() -> None:
    """Retention may have passed a group that was away, and workers can have none of that."""
    ends = {0: 100, 1: 100, 2: 100}
    assert waiting({0: 90, 1: 90}, {0: 0, 1: 95, 2: 40}, ends) == 10 + 5 + 60


def test_a_partition_that_moved_on_between_the_answers_is_not_ahead() -> None:
    """Its start was asked for after its end."""
    assert waiting({}, {0: 101}, {0: 100}) == 0


def test_nothing_is_asked_after_the_end() -> None:
    """The connection to the group is freed."""
    lag = GroupLag(Connection("127.0.0.1:1"), topic="frames", group="g")
    lag.close()
    with pytest.raises(RuntimeError, match="closed"):
        lag._commits.offsets([0])
