"""Streets: pictures and truth from a spec alone, the same in every process."""

import hashlib
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from pipeline.errors import SettingsError
from pipeline.synthetic.seeds import Population, group, population_of
from pipeline.synthetic.street import Street, StreetSpec

LISTED = group(Population.WATCHLIST, 5, 20)
SPEC = StreetSpec(seed=5, camera="north/1", width=640, height=360, listed=LISTED, listed_share=0.5, density=30.0)

_FINGERPRINT = """
import hashlib, msgspec
from pipeline.synthetic.street import Street, StreetSpec
from pipeline.synthetic.seeds import Population, group
street = Street(StreetSpec(seed=5, camera="north/1", width=640, height=360,
                           listed=group(Population.WATCHLIST, 5, 20), listed_share=0.5, density=30.0))
picture = hashlib.sha256(street.render(30).tobytes()).hexdigest()
print(picture, hashlib.sha256(msgspec.json.encode(street.truth(102))).hexdigest())
"""


@pytest.fixture(scope="module")
def street() -> Street:
    """The street of the tests."""
    return Street(SPEC)


def test_pictures_and_truth_are_equal_in_another_process(street: Street) -> None:
    """A fresh interpreter renders the same bytes and computes the same truth."""
    run = subprocess.run([sys.executable, "-c", _FINGERPRINT], capture_output=True, text=True, check=True)
    picture = hashlib.sha256(street.render(30).tobytes()).hexdigest()
    truth = hashlib.sha256(msgspec.json.encode(street.truth(102))).hexdigest()
    assert run.stdout.split() == [picture, truth]


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080)])
def test_pictures_have_the_size_of_the_spec(width: int, height: int) -> None:
    """Rendering gives BGR bytes of the camera's resolution."""
    image = Street(StreetSpec(seed=1, camera="a", width=width, height=height)).render(3)
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8


def test_order_of_rendering_does_not_matter(street: Street) -> None:
    """A picture is the same whether or not others were rendered before it."""
    fresh = Street(SPEC)
    for index in (7, 3):
        fresh.render(index)
    assert np.array_equal(fresh.render(30), street.render(30))


def test_rounds_show_the_same_faces_in_new_passes(street: Street) -> None:
    """One loop later boxes and people are equal and pass ids are not."""
    frames = street.frames_per_loop
    for sequence in range(frames):
        first, second = street.truth(sequence), street.truth(sequence + frames)
        assert [(f.identity, f.box) for f in first.faces] == [(f.identity, f.box) for f in second.faces]
        assert not {f.pass_id for f in first.faces} & {f.pass_id for f in second.faces}


def test_faces_differ_from_the_empty_street(street: Street) -> None:
    """Where truth says that a face is, the picture is not the backdrop."""
    empty = Street(StreetSpec(seed=5, camera="north/1", width=640, height=360, density=0.0)).render(30)
    faces = [f for f in street.truth(30).faces if f.occlusion == 0.0]
    assert faces
    for face in faces:
        left, top, right, bottom = (int(v) for v in face.box)
        difference = street.render(30)[top:bottom, left:right].astype(int) - empty[top:bottom, left:right]
        assert np.abs(difference).mean() > 5.0


def test_only_listed_people_have_entries(street: Street) -> None:
    """Listed faces are of the watchlist and carry an entry id; the others are passers-by without one."""
    faces = [face for sequence in range(street.frames_per_loop) for face in street.truth(sequence).faces]
    assert {face.listed for face in faces} == {True, False}
    for face in faces:
        assert face.listed == (face.identity in LISTED) == bool(face.entry)
        assert population_of(face.identity) is (Population.WATCHLIST if face.listed else Population.PASSERS_BY)


def test_picture_outside_the_loop_is_refused(street: Street) -> None:
    """The first index after the loop raises."""
    with pytest.raises(IndexError, match="loop"):
        street.render(street.frames_per_loop)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"loop_seconds": 30.0}, "loop_seconds"),
        ({"fps": 0.0}, "fps"),
        ({"listed_share": 1.5}, "listed_share"),
        ({"density": -1.0}, "density"),
        ({"width": 10}, "pixels"),
    ],
)
def test_impossible_street_is_one_clear_error(change: dict[str, float], field: str) -> None:
    """A spec that cannot be kept names the field."""
    with pytest.raises(SettingsError, match=field):
        StreetSpec(seed=1, camera="a", **change)  # type: ignore[arg-type]  # the values are wrong on purpose


def test_heads_that_are_no_faces_are_told_apart(street: Street) -> None:
    """Whoever is in the picture is a face of the truth or turned away, never both."""
    away = 0
    for index in range(street.frames_per_loop):
        boxes = street.turned_away(index)
        assert not {face.box for face in street.truth(index).faces} & set(boxes)
        away += len(boxes)
    assert away > 0
