"""The rule of planting holds for every seed."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.synthetic.passes import COOLDOWN_SECONDS, StreetSpec, plan
from pipeline.synthetic.seeds import Population, group
from pipeline.synthetic.street import Street

specs = st.builds(
    StreetSpec,
    seed=st.integers(0, 2**31),
    camera=st.text("abc/123", min_size=1, max_size=8),
    fps=st.sampled_from([1.0, 2.0, 5.0, 24.0]),
    loop_seconds=st.floats(31.0, 120.0),
    listed=st.integers(0, 60).map(lambda count: group(Population.WATCHLIST, 1, count) if count else ()),
    listed_share=st.floats(0.0, 1.0),
    density=st.floats(0.0, 60.0),
)


@settings(max_examples=150, deadline=None)
@given(specs)
def test_passes_obey_the_rule_of_planting(spec: StreetSpec) -> None:
    """A person walks once in a loop, inside it, for less than the cool-down, and the loop is longer than that."""
    walks = plan(spec)
    assert len({walk.identity for walk in walks}) == len(walks)
    for walk in walks:
        assert walk.seconds < COOLDOWN_SECONDS
        assert walk.start >= 0.0
        assert walk.start + walk.seconds <= spec.loop_seconds
        assert walk.listed == (walk.identity in spec.listed)
    assert spec.loop_seconds > COOLDOWN_SECONDS


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31))
def test_planted_passes_of_one_person_start_more_than_a_cooldown_apart(seed: int) -> None:
    """Over three rounds, each pass is shorter than the cool-down and the next of that person starts after more."""
    spec = StreetSpec(
        seed=seed, camera="a/1", fps=1.0, listed=group(Population.WATCHLIST, seed, 8), listed_share=0.4, density=20.0
    )
    street = Street(spec)
    starts: dict[int, list[int]] = {}
    for planted in street.passes(0, 3 * street.frames_per_loop - 1):
        assert (planted.last_sequence - planted.first_sequence) / spec.fps < COOLDOWN_SECONDS
        starts.setdefault(planted.identity, []).append(planted.first_sequence)
    for first in starts.values():
        assert len(first) == 3
        assert all((b - a) / spec.fps > COOLDOWN_SECONDS for a, b in pairwise(first))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_truth_stays_inside_the_picture(seed: int) -> None:
    """Most of every box lies in the picture, heights and shares are in range, and yaw is below a profile's."""
    street = Street(StreetSpec(seed=seed, camera="a/1", fps=1.0, density=30.0))
    for sequence in range(street.frames_per_loop):
        for face in street.truth(sequence).faces:
            left, top, right, bottom = face.box
            assert left < 1280
            assert top < 720
            assert right > 0
            assert bottom > 0
            assert face.height == bottom - top > 0
            assert 0.0 <= face.occlusion <= 1.0
            assert abs(face.yaw) <= 95.0
