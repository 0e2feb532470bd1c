"""How the time after a signal is shared."""

from pipeline.runtime.draining import LEAST_SECONDS, STALL_SECONDS, Draining, tidying_seconds


def test_a_drain_is_over_when_nothing_is_missing() -> None:
    """At once, however much time is left."""
    assert Draining(20.0).over(0, 20.0, 0.0)


def test_a_drain_in_which_nothing_moves_is_given_up() -> None:
    """Each frame that is accounted for starts the wait again."""
    draining = Draining(20.0)
    assert not draining.over(9, 20.0, 0.0)
    assert not draining.over(8, 20.0, STALL_SECONDS)
    assert not draining.over(8, 20.0, 2 * STALL_SECONDS)
    assert draining.over(8, 20.0, 2 * STALL_SECONDS + 0.1)


def test_the_workers_get_their_share_though_frames_go_on_moving() -> None:
    """A backlog of hours must not keep a command that was asked to end within seconds."""
    draining = Draining(20.0)
    assert [draining.over(100 - step, 20.0 - step, float(step)) for step in range(17)] == [False] * 15 + [True] * 2


def test_the_cameras_leave_time_for_the_rest() -> None:
    """Though Kafka takes none of their frames any more."""
    assert Draining(20.0).cameras_seconds(20.0) == 10.0


def test_reading_back_has_its_usual_time_unless_there_was_a_signal() -> None:
    """After one it has what is left, and always enough for a Kafka that answers."""
    assert tidying_seconds(20.0, 30.0, interrupted=False) == 30.0
    assert tidying_seconds(12.0, 30.0, interrupted=True) == 12.0
    assert tidying_seconds(0.0, 30.0, interrupted=True) == LEAST_SECONDS
