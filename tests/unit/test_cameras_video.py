"""Video files: their own timestamps, any codec and shape, and one clear line for what is no video."""

import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipeline.cameras.source import SECOND_NS, Absence, Picture
from pipeline.cameras.video import VideoSource
from pipeline.errors import InputError

STEADY = tuple(range(0, 400, 40))
"""Timestamps in milliseconds at 25 frames/s."""


def make_video(
    path: Path, codec: str, stamps: Sequence[int] = STEADY, *, width: int = 64, height: int = 48, rotation: int = 0
) -> Path:
    """A video at timestamps in milliseconds: frame n is grey 20 × (n modulo 12), its left upper quarter white."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for number, stamp in enumerate(stamps):
            image = np.full((height, width, 3), number % 12 * 20, np.uint8)
            image[: height // 2, : width // 2] = 255
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def pictures(path: Path, most: int = 1000, width: int = 1280, height: int = 720, loop: bool = False) -> list[Picture]:
    """What a camera that plays the file gives, up to so many pictures."""
    source = VideoSource(path, width=width, height=height, loop=loop)
    found: list[Picture] = []
    deadline = time.monotonic() + 20
    try:
        while len(found) < most and time.monotonic() < deadline:
            given = source.take()
            if given is Absence.ENDED:
                return found
            if isinstance(given, Picture):
                found.append(given)
        assert len(found) == most, "the video ended neither nor went on"
        return found
    finally:
        source.close()


def image(picture: Picture) -> np.ndarray:
    """The decoded JPEG."""
    decoded = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.webm", "libvpx-vp9"), ("a.mkv", "ffv1"), ("a.mov", "mjpeg")],
)
def test_every_codec_gives_all_frames_at_their_timestamps(tmp_path: Path, name: str, codec: str) -> None:
    """Ten frames at 25 frames/s come out as ten pictures 40 ms apart, in order."""
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg writes no {codec}")
    found = pictures(make_video(tmp_path / name, codec))
    assert [round(each.offset_ns / 1e6) for each in found] == list(STEADY)
    shades = [float(image(each)[40, 50].mean()) for each in found]
    assert shades == pytest.approx([n * 20 for n in range(10)], abs=12)


def test_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    """Uneven timestamps are the pace; they count from the first one."""
    stamps = (500, 540, 700, 1700, 1720)
    found = pictures(make_video(tmp_path / "a.mkv", "libx264", stamps))
    assert [each.offset_ns for each in found] == [(stamp - 500) * 1_000_000 for stamp in stamps]


def test_break_in_the_recording_is_not_waited_for(tmp_path: Path) -> None:
    """A jump of an hour between two timestamps counts as one usual step."""
    found = pictures(make_video(tmp_path / "a.mkv", "ffv1", (0, 40, 3_600_000, 3_600_040)))
    assert [each.offset_ns // 1_000_000 for each in found] == [0, 40, 80, 120]


def test_loop_goes_on_in_time(tmp_path: Path) -> None:
    """The second round follows the first by the usual step, and offsets never fall."""
    found = pictures(make_video(tmp_path / "a.mp4", "libx264"), most=25, loop=True)
    assert [round(each.offset_ns / 1e6) for each in found] == [40 * n for n in range(25)]


@pytest.mark.parametrize(("width", "height"), [(63, 47), (641, 33), (2, 2)])
def test_odd_sizes_are_kept(tmp_path: Path, width: int, height: int) -> None:
    """Sizes that no broadcaster uses come out as they are."""
    (first, *_) = pictures(make_video(tmp_path / "a.mkv", "ffv1", (0, 40), width=width, height=height))
    assert image(first).shape == (height, width, 3)


def test_large_videos_are_made_smaller_at_their_aspect_ratio(tmp_path: Path) -> None:
    """A 400×100 video within 200×200 becomes 200×50."""
    (first, *_) = pictures(
        make_video(tmp_path / "a.mkv", "ffv1", (0, 40), width=400, height=100), width=200, height=200
    )
    assert image(first).shape == (50, 200, 3)


@pytest.mark.parametrize(
    ("rotation", "shape", "white"),
    [(90, (64, 48), (60, 10)), (180, (48, 64), (40, 60)), (-90, (64, 48), (10, 40))],
)
def test_rotated_videos_stand_upright(
    tmp_path: Path, rotation: int, shape: tuple[int, int], white: tuple[int, int]
) -> None:
    """A phone's display matrix is obeyed: the white left upper quarter goes where the turn takes it."""
    (first, *_) = pictures(make_video(tmp_path / "a.mp4", "libx264", (0, 40), rotation=rotation))
    picture = image(first)
    assert picture.shape[:2] == shape
    assert picture[white].mean() > 200
    corners = [picture[y, x].mean() for y in (3, shape[0] - 4) for x in (3, shape[1] - 4)]
    assert sum(corner > 200 for corner in corners) == 1


def test_video_that_breaks_off_plays_to_the_break(tmp_path: Path) -> None:
    """Half a file gives the pictures that are in it."""
    whole = make_video(tmp_path / "a.mkv", "mjpeg", tuple(range(0, 2000, 40)))
    cut = tmp_path / "cut.mkv"
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    found = pictures(cut)
    assert 5 < len(found) < 50


@pytest.mark.parametrize(
    ("name", "codec", "damage", "said"),
    [
        ("a.mkv", "mjpeg", "cut off", "it plays 1."),
        ("a.webm", "libvpx-vp9", "cut off", "it plays "),
        ("a.avi", "mpeg4", "in the middle", "damaged packets or pictures: "),
        ("a.mp4", "h264", "in the middle", "damaged packets or pictures: "),
        ("a.avi", "mpeg4", "none", ""),
        ("a.mp4", "h264", "none", ""),
        ("a.mkv", "mjpeg", "none", ""),
    ],
)
def test_what_a_damaged_file_lost_is_told_at_its_end(
    tmp_path: Path, name: str, codec: str, damage: str, said: str
) -> None:
    """A file that breaks off or has damaged parts says so, and a whole one says nothing."""
    path = make_video(tmp_path / name, codec, tuple(range(0, 2000, 40)), width=320, height=240)
    data = bytearray(path.read_bytes())
    if damage == "cut off":
        data = data[: len(data) * 6 // 10]
    elif damage == "in the middle":
        middle = slice(len(data) // 3, len(data) // 2)
        data[middle] = np.random.default_rng(1).bytes(middle.stop - middle.start)
    path.write_bytes(data)
    source = VideoSource(path, width=320, height=240)
    try:
        while source.take() is not Absence.ENDED:
            pass
        assert said in source.loss
        assert source.loss.startswith(f"{path} is damaged" if said else "")
        assert bool(source.loss) == bool(said)
    finally:
        source.close()


def test_missing_file_is_named() -> None:
    """A path that leads nowhere is one clear error."""
    with pytest.raises(InputError, match=r"nowhere\.mp4 cannot be read"):
        VideoSource(Path("nowhere.mp4"), width=100, height=100)


@pytest.mark.parametrize("content", [b"", b"this is no video at all" * 100, b"\x00\x00\x00\x18ftypmp42" + bytes(500)])
def test_file_that_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    """Emptiness, text and a hollow container are refused with the file's name."""
    path = tmp_path / "holiday.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"holiday\.mp4"):
        VideoSource(path, width=100, height=100)


def test_sound_without_pictures_is_refused(tmp_path: Path) -> None:
    """A sound file has no video stream, and the error says so."""
    path = tmp_path / "song.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(InputError, match=r"song\.wav holds no video stream"):
        VideoSource(path, width=100, height=100)


def test_offsets_never_fall(tmp_path: Path) -> None:
    """Timestamps that run backwards in the file (a camera whose clock was set back) still give rising offsets."""
    first = make_video(tmp_path / "a.mkv", "ffv1", (0, 40, 80))
    offsets = [each.offset_ns for each in pictures(first, most=9, loop=True)]
    assert offsets == sorted(offsets)
    assert offsets[-1] < SECOND_NS
