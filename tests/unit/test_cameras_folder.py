"""Folders of images: sorted by name, what is no image skipped and counted."""

import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.cameras.folder import FolderSource
from pipeline.cameras.source import Absence, Picture
from pipeline.errors import InputError


def write_image(path: Path, shade: int, width: int = 40, height: int = 30) -> None:
    """An image of one shade of grey."""
    assert cv2.imwrite(str(path), np.full((height, width, 3), shade, np.uint8))


def take(source: FolderSource, most: int) -> list[Picture]:
    """Up to so many pictures."""
    found: list[Picture] = []
    deadline = time.monotonic() + 20
    while len(found) < most:
        given = source.take()
        if given is Absence.ENDED:
            break
        if isinstance(given, Picture):
            found.append(given)
        assert time.monotonic() < deadline
    return found


def shades(pictures: list[Picture]) -> list[int]:
    """The shade of each picture, to the next ten."""
    decoded = [cv2.imdecode(np.frombuffer(each.jpeg, np.uint8), cv2.IMREAD_COLOR) for each in pictures]
    return [round(float(each.mean()), -1) for each in decoded]


def folder_source(path: Path, loop: bool = False) -> FolderSource:
    """A camera of 4 frames/s."""
    return FolderSource(path, fps=Fraction(4), width=100, height=100, loop=loop)


def test_images_come_by_name_at_a_steady_rate(tmp_path: Path) -> None:
    """JPEG and PNG, whatever the case of their suffix, a quarter of a second apart."""
    write_image(tmp_path / "b.png", 100)
    write_image(tmp_path / "c.JPG", 200)
    write_image(tmp_path / "a.jpeg", 50)
    source = folder_source(tmp_path)
    found = take(source, 10)
    source.close()
    assert shades(found) == [50, 100, 200]
    assert [each.offset_ns for each in found] == [0, 250_000_000, 500_000_000]


def test_what_is_no_image_is_skipped_and_counted(tmp_path: Path) -> None:
    """Other files, folders and a broken image leave no hole in the sequence."""
    write_image(tmp_path / "a.jpg", 50)
    (tmp_path / "b.jpg").write_bytes(b"no image")
    (tmp_path / "empty.png").write_bytes(b"")
    write_image(tmp_path / "z.jpg", 200)
    (tmp_path / "notes.txt").write_text("no image either")
    (tmp_path / "more.jpg").mkdir()
    source = folder_source(tmp_path)
    found = take(source, 10)
    source.close()
    assert shades(found) == [50, 200]
    assert [each.offset_ns for each in found] == [0, 250_000_000]
    assert source.skipped == 3


def test_loop_begins_again(tmp_path: Path) -> None:
    """After the last image comes the first, and time goes on."""
    for number in range(2):
        write_image(tmp_path / f"{number}.png", 100 * number)
    source = folder_source(tmp_path, loop=True)
    found = take(source, 5)
    source.close()
    assert shades(found) == [0, 100, 0, 100, 0]
    assert [each.offset_ns for each in found] == [n * 250_000_000 for n in range(5)]


def test_large_images_are_made_smaller(tmp_path: Path) -> None:
    """A 400×200 image within 100×100 becomes 100×50."""
    write_image(tmp_path / "a.png", 9, 400, 200)
    source = folder_source(tmp_path)
    (found,) = take(source, 2)
    source.close()
    assert cv2.imdecode(np.frombuffer(found.jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (50, 100, 3)


def test_metadata_of_a_photograph_does_not_travel(tmp_path: Path) -> None:
    """A comment inside the file (where EXIF keeps places and names) is not in what is sent."""
    write_image(tmp_path / "a.jpg", 50)
    data = (tmp_path / "a.jpg").read_bytes()
    comment = b"taken at home"
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:])
    source = folder_source(tmp_path)
    (found,) = take(source, 2)
    source.close()
    assert comment not in found.jpeg


@pytest.mark.parametrize("other", [None, "notes.txt"])
def test_folder_without_images_is_refused(tmp_path: Path, other: str | None) -> None:
    """An empty folder, and one of other files only, are errors that name the folder and the fix."""
    if other:
        (tmp_path / other).write_text("text")
    with pytest.raises(InputError, match=f"{tmp_path.name} holds no image.*put .jpg"):
        folder_source(tmp_path)


def test_folder_of_broken_images_is_refused(tmp_path: Path) -> None:
    """If nothing can be decoded there is no camera."""
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match="none of the 1 JPEG and PNG files"):
        folder_source(tmp_path)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    """A folder that is not there is one clear error."""
    with pytest.raises(InputError, match="nowhere cannot be read"):
        folder_source(tmp_path / "nowhere")
