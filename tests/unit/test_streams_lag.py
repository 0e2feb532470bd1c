"""How many frames of a group wait, from three answers of Kafka."""

from pipeline.streams.lag import waiting


def test_what_was_committed_and_what_was_deleted_does_not_wait() -> None:
    """Retention may have passed a group that was away, and workers can have none of that."""
    ends = {0: 100, 1: 100, 2: 100}
    assert waiting({0: 90, 1: 90}, {0: 0, 1: 95, 2: 40}, ends) == 10 + 5 + 60


def test_a_partition_that_moved_on_between_the_answers_is_not_ahead() -> None:
    """Its start was asked for after its end."""
    assert waiting({}, {0: 101}, {0: 100}) == 0
