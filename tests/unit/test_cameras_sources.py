"""Rendered loops, look-ahead, names and the plan of a fleet."""

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.cameras.jpeg import encode_jpeg, fitted
from pipeline.cameras.look_ahead import LookAhead
from pipeline.cameras.naming import camera_ids, new_camera_run
from pipeline.cameras.plan import FolderCamera, SyntheticCamera, VideoCamera, open_sources, placed
from pipeline.cameras.source import Absence, Picture
from pipeline.cameras.synthetic import Rendering, SyntheticSource, exact_rate
from pipeline.core.sharding import district
from pipeline.errors import InputError
from pipeline.synthetic.street import Street, StreetSpec

SPEC = StreetSpec(seed=3, camera="north/cam-000", width=160, height=96, fps=0.5)


def test_loop_holds_the_streets_pictures() -> None:
    """Picture n of the loop is the street's picture n, up to JPEG's loss; the count is the street's."""
    rendering = Rendering([SPEC], None)
    street = Street(SPEC)
    loops = rendering.run(lambda: True)
    assert loops is not None
    assert rendering.total == rendering.rendered == len(loops[SPEC]) == street.frames_per_loop == 18
    for index in (0, 7, 17):
        decoded = cv2.imdecode(np.frombuffer(loops[SPEC][index], np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(decoded.astype(int) - street.render(index)).mean() < 4


def test_cameras_of_one_street_share_its_loop() -> None:
    """Equal specs are rendered once."""
    rendering = Rendering([SPEC, SPEC], None)
    assert rendering.total == 18
    loops = rendering.run(lambda: True)
    assert loops is not None
    cameras = [SyntheticCamera(f"north/{n}", SPEC) for n in range(2)]
    first, second = (source.take() for source in open_sources(cameras, loops))
    assert isinstance(first, Picture)
    assert isinstance(second, Picture)
    assert first.jpeg is second.jpeg


def test_short_runs_render_no_more_than_they_send() -> None:
    """Ten seconds at half a frame per second need six pictures, not a loop of 18."""
    assert Rendering([SPEC], 10.0).total == 6
    assert Rendering([SPEC], 1000.0).total == 18


def test_rendering_can_be_ended_early() -> None:
    """It is asked after each picture, and gives nothing when it is told to end."""
    rendering = Rendering([SPEC], None)
    assert rendering.run(lambda: rendering.rendered < 3) is None
    assert rendering.rendered == 3


def test_a_large_fleet_is_measured_at_once_and_given_up_at_once() -> None:
    """Nobody is modelled before it is rendered: 500 streets would take minutes in which no picture is counted."""
    specs = [StreetSpec(seed=3, camera=f"north/cam-{n:03d}", fps=30.0) for n in range(500)]
    began = time.monotonic()
    rendering = Rendering(specs, 3.0)
    assert rendering.total == 500 * 91
    assert rendering.run(lambda: False) is None
    assert time.monotonic() - began < 1.0


def test_memory_is_foreseen() -> None:
    """The stated memory of a loop bounds what it takes, and is not twice as much, at 720p."""
    spec = StreetSpec(seed=3, camera="north/cam-000")
    rendering = Rendering([spec], 2.0)
    loops = rendering.run(lambda: True)
    assert loops is not None
    taken = sum(len(picture) for picture in loops[spec])
    assert taken <= rendering.memory_bytes <= 2 * taken
    assert 70_000 < taken / len(loops[spec]) < 130_000


def test_rounds_of_a_loop_go_on_in_time() -> None:
    """Pictures repeat after the loop while offsets follow the exact rate."""
    source = SyntheticSource((b"a", b"b", b"c"), exact_rate(29.97))
    taken = [source.take() for _ in range(7)]
    assert [each.jpeg for each in taken] == [b"a", b"b", b"c", b"a", b"b", b"c", b"a"]
    assert [each.offset_ns for each in taken] == [n * 10**11 // 2997 for n in range(7)]


def test_look_ahead_is_bounded() -> None:
    """The thread is never further ahead than the depth, the picture in hand, and the one being taken."""
    taken: list[int] = []
    leads: list[int] = []

    def numbers() -> Iterator[Picture]:
        for number in range(200):
            leads.append(number - len(taken))
            yield Picture(number, b"")

    ahead = LookAhead(numbers(), "test", depth=4)
    while len(leads) < 5:  # the thread gets as far ahead as it may
        ahead.wait_first()
    while (picture := ahead.take()) is not Absence.ENDED:
        if isinstance(picture, Picture):
            taken.append(picture.offset_ns)
    ahead.close()
    assert taken == list(range(200))
    assert 4 <= max(leads) <= 5


def test_look_ahead_hands_on_failures_after_what_came_before() -> None:
    """Pictures that were ready are given before the error is raised."""

    def failing() -> Iterator[Picture]:
        yield Picture(0, b"first")
        raise InputError("broken")

    ahead = LookAhead(failing(), "test")
    ahead.wait_first()
    assert ahead.take() == Picture(0, b"first")
    with pytest.raises(InputError, match="broken"):
        while ahead.take() is Absence.NOT_YET:
            pass
    ahead.close()


def test_closing_ends_the_thread() -> None:
    """A source that is closed in mid-stream leaves no thread behind."""
    before = threading.active_count()
    ahead = LookAhead((Picture(n, b"") for n in range(10**9)), "test", depth=2)
    ahead.wait_first()
    ahead.close()
    assert threading.active_count() == before


def test_camera_ids_are_spread_over_districts() -> None:
    """Ids are unique, their districts come in turn, and large fleets sort by number too."""
    ids = camera_ids(5, ("north", "south"))
    assert ids == ("north/cam-000", "south/cam-001", "north/cam-002", "south/cam-003", "north/cam-004")
    many = camera_ids(2000, ("north",))
    assert len(set(many)) == 2000
    assert list(many) == sorted(many)
    assert {district(each) for each in many} == {"north"}


def test_camera_runs_never_share_a_name() -> None:
    """Two starts in the same nanosecond are two camera runs, named by their time."""
    now = 1_800_000_000 * 10**9
    names = {new_camera_run(now) for _ in range(50)}
    assert len(names) == 50
    assert all(name.startswith("20270115T080000Z-") for name in names)


def test_cameras_are_placed_by_index_and_spread_in_time() -> None:
    """Partition is index modulo partitions; four cameras at 0.5 frames/s start half a second apart."""
    cameras = [SyntheticCamera(f"north/{n}", SPEC) for n in range(4)]
    sources = [SyntheticSource((b"x",), Fraction(1, 2)) for _ in cameras]
    found = placed(cameras, sources, 3)
    assert [each.partition for each in found] == [0, 1, 2, 0]
    assert [each.phase_ns for each in found] == [0, 500_000_000, 1_000_000_000, 1_500_000_000]


def test_one_source_that_cannot_be_opened_closes_the_others(tmp_path: Path) -> None:
    """The error names the file, and the folder opened before it leaves no thread behind."""
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    before = threading.active_count()
    cameras = [FolderCamera("north/a", tmp_path, loop=True), VideoCamera("north/b", tmp_path / "gone.mp4")]
    with pytest.raises(InputError, match=r"gone\.mp4"):
        open_sources(cameras, {})
    assert threading.active_count() == before


def test_sizes_are_fitted_without_growing() -> None:
    """The larger excess decides, small pictures stay as they are, and no side vanishes."""
    assert fitted(3840, 2160, 1280, 720) == (1280, 720)
    assert fitted(1000, 4000, 1280, 720) == (180, 720)
    assert fitted(64, 48, 1280, 720) == (64, 48)
    assert fitted(100_000, 2, 1280, 720) == (1280, 1)


def test_picture_too_large_for_jpeg_is_an_error() -> None:
    """JPEG holds at most 65,535 pixels a side."""
    with pytest.raises(InputError, match="70000x1 pixels"):
        encode_jpeg(np.zeros((1, 70_000, 3), np.uint8))
