"""The cool-down runs per camera and entry, from the alerted frame, in the frames' own time."""

import pytest

from pipeline.core.cooldown import Cooldown

SECOND = 10**9


@pytest.fixture
def cooldown() -> Cooldown:
    """A cool-down of 30 s in which camera a/1 alerted for p1 at 100 s."""
    state = Cooldown(30)
    state.note("a/1", "p1", 100 * SECOND)
    return state


def test_first_alert_is_admitted() -> None:
    """Without an alert before there is nothing to wait for."""
    assert Cooldown(30).admits("a/1", "p1", 0)


def test_same_pass_stays_quiet_to_the_nanosecond(cooldown: Cooldown) -> None:
    """The cool-down ends exactly its length after the alerted frame."""
    assert not cooldown.admits("a/1", "p1", 130 * SECOND - 1)
    assert cooldown.admits("a/1", "p1", 130 * SECOND)


def test_asking_does_not_prolong_it(cooldown: Cooldown) -> None:
    """It counts from the alerted frame: someone who stays in view alerts again after each cool-down."""
    for second in range(100, 130):
        assert not cooldown.admits("a/1", "p1", second * SECOND)
    assert cooldown.admits("a/1", "p1", 130 * SECOND)


def test_other_cameras_and_entries_are_free(cooldown: Cooldown) -> None:
    """Nobody is linked from one camera to the next."""
    assert cooldown.admits("a/2", "p1", 100 * SECOND)
    assert cooldown.admits("a/1", "p2", 100 * SECOND)


def test_frame_from_just_before_belongs_to_the_pass(cooldown: Cooldown) -> None:
    """Frames that arrive out of order do not double an alert."""
    assert not cooldown.admits("a/1", "p1", 99 * SECOND)


def test_clock_set_back_does_not_silence_the_camera(cooldown: Cooldown) -> None:
    """A jump by more than the cool-down starts anew, and counts from there."""
    assert cooldown.admits("a/1", "p1", 50 * SECOND)
    cooldown.note("a/1", "p1", 50 * SECOND)
    assert not cooldown.admits("a/1", "p1", 79 * SECOND)
    assert cooldown.admits("a/1", "p1", 80 * SECOND)


def test_rebuilding_replaces_what_was_there(cooldown: Cooldown) -> None:
    """An alert whose transaction was aborted is not in the log, so it is forgotten; the last one in the log counts."""
    cooldown.rebuild([("a/2", "p9", 10 * SECOND), ("a/2", "p9", 45 * SECOND)])
    assert cooldown.admits("a/1", "p1", 100 * SECOND)
    assert not cooldown.admits("a/2", "p9", 74 * SECOND)
    assert cooldown.size == 1


def test_pruning_keeps_what_can_still_decide(cooldown: Cooldown) -> None:
    """Alerts before the bound go, with the cameras that have no other."""
    cooldown.note("a/1", "p2", 60 * SECOND)
    cooldown.prune(100 * SECOND)
    assert cooldown.size == 1
    assert not cooldown.admits("a/1", "p1", 101 * SECOND)
    cooldown.prune(101 * SECOND)
    assert cooldown.size == 0


def test_draft_decides_for_itself(cooldown: Cooldown) -> None:
    """A batch whose transaction is aborted leaves no trace; until then its own alerts count for it."""
    draft = cooldown.draft()
    assert not draft.admits("a/1", "p1", 101 * SECOND)
    draft.note("a/1", "p1", 140 * SECOND)
    assert not draft.admits("a/1", "p1", 141 * SECOND)
    assert cooldown.admits("a/1", "p1", 141 * SECOND)


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_length_must_make_sense(seconds: float) -> None:
    """A negative cool-down is a mistake of the caller."""
    with pytest.raises(ValueError, match="cool-down of"):
        Cooldown(seconds)
