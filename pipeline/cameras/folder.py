"""Folders of images as cameras: JPEG and PNG files by name, at a steady rate."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.cameras.jpeg import encode_jpeg, fit
from pipeline.cameras.look_ahead import LookAhead
from pipeline.cameras.source import Absence, Picture
from pipeline.core.pacing import Schedule
from pipeline.errors import InputError

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png"})


class FolderSource:
    """The images of a folder, sorted by name, loaded ahead of their use by a thread of its own.

    Each is decoded, turned as its EXIF says, and compressed anew, so that no metadata of a photograph (its place, its
    author) travels with it.
    """

    def __init__(self, path: Path, *, fps: Fraction, width: int, height: int, loop: bool = False) -> None:
        """Images larger than `width` × `height` pixels are made smaller; `loop` begins again at the end.

        Returns when the first image is loaded; raises InputError, naming the folder, if it can't be read or holds none.
        """
        self._path = path
        self._size = (width, height)
        self._loop = loop
        self._files, self._skipped = _images(path)
        self._damaged: set[Path] = set()
        self._ahead = LookAhead(self._pictures(Schedule(0, fps)), path.name)
        try:
            self._ahead.wait_first()
        except InputError:
            self._ahead.close()
            raise

    @property
    def damaged(self) -> tuple[Path, ...]:
        """Files that are images by their name and could not be decoded, by name, as far as they were met."""
        return tuple(sorted(self._damaged.copy()))

    @property
    def skipped(self) -> int:
        """Files that are no images, by their name or when they were read; the latter are counted as they are met."""
        return self._skipped + len(self._damaged)

    def take(self) -> Picture | Absence:
        """The next picture; picture n is due n ÷ fps seconds after the start."""
        return self._ahead.take()

    def close(self) -> None:
        """Stop loading."""
        self._ahead.close()

    def _pictures(self, schedule: Schedule) -> Iterator[Picture]:
        sequence = 0
        while True:
            for file in self._files:
                image = _load(file)
                if image is None:
                    self._damaged.add(file)
                    continue
                yield Picture(schedule.instant(sequence), encode_jpeg(fit(image, *self._size)))
                sequence += 1
            if len(self._damaged) == len(self._files):
                raise InputError(f"none of the {len(self._files)} JPEG and PNG files in {self._path} can be decoded")
            if not self._loop:
                return


def _images(path: Path) -> tuple[list[Path], int]:
    """The image files of a folder by name, and how many files are none."""
    try:
        files = sorted(each for each in path.iterdir() if each.is_file())
    except OSError as error:
        raise InputError(f"folder {path} cannot be read: {error.strerror or error}") from error
    images = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not images:
        found = f"{len(files)} other files" if files else "nothing"
        raise InputError(f"folder {path} holds no image: {found} there; put .jpg, .jpeg or .png files into it")
    return images, len(files) - len(images)


def _load(file: Path) -> NDArray[np.uint8] | None:
    """The image as BGR uint8[H,W,3], or None if the file holds none."""
    try:
        data = np.frombuffer(file.read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error):
        return None
    return None if image is None else image.astype(np.uint8, copy=False)
