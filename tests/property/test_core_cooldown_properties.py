"""A worker that takes over decides like the one that was there: the alerts are the whole state."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.cooldown import Cooldown

SECOND = 10**9
sightings = st.lists(
    st.tuples(st.sampled_from(["a/1", "a/2"]), st.sampled_from(["p1", "p2"]), st.integers(0, 200 * SECOND)),
    max_size=60,
)
Sighting = tuple[str, str, int]


def play(cooldown: Cooldown, seen: list[Sighting]) -> list[Sighting]:
    """The sightings that alert."""
    alerts = []
    for camera, entry, at_ns in seen:
        if cooldown.admits(camera, entry, at_ns):
            cooldown.note(camera, entry, at_ns)
            alerts.append((camera, entry, at_ns))
    return alerts


@given(sightings, st.integers(0, 60))
def test_successor_continues_like_its_predecessor(seen: list[Sighting], cut: int) -> None:
    """Rebuilt from the alerts so far, at any point and in any order of times, the rest is decided the same."""
    whole = play(Cooldown(30), seen)
    first = play(Cooldown(30), seen[:cut])
    successor = Cooldown(30)
    successor.rebuild(first)
    assert first + play(successor, seen[cut:]) == whole


@given(sightings)
def test_alerts_of_ordered_frames_are_a_cooldown_apart(seen: list[Sighting]) -> None:
    """In order of capture, two alerts of a camera for an entry are a cool-down apart or more, and none is late."""
    last: dict[tuple[str, str], int] = {}
    cooldown = Cooldown(30)
    for camera, entry, at_ns in sorted(seen, key=lambda sighting: sighting[2]):
        due = (camera, entry) not in last or at_ns >= last[camera, entry] + 30 * SECOND
        assert bool(play(cooldown, [(camera, entry, at_ns)])) == due
        if due:
            last[camera, entry] = at_ns


@given(sightings)
def test_pruning_changes_no_decision(seen: list[Sighting]) -> None:
    """Dropping what lies a cool-down before the oldest frame to come leaves the alerts as they are."""
    ordered = sorted(seen, key=lambda sighting: sighting[2])
    cooldown, alerts = Cooldown(30), []
    for sighting in ordered:
        cooldown.prune(sighting[2] - 30 * SECOND)
        alerts += play(cooldown, [sighting])
    assert alerts == play(Cooldown(30), ordered)
