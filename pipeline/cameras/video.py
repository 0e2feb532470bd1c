"""Video files as cameras: any codec that FFmpeg reads, paced by the file's own timestamps."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.cameras.jpeg import encode_jpeg, fitted
from pipeline.cameras.look_ahead import LookAhead
from pipeline.cameras.source import SECOND_NS, Absence, Picture
from pipeline.errors import InputError

UNKNOWN_RATE: Final = Fraction(25)
"""Frames per second of a video that states neither timestamps nor a rate."""
LONGEST_STEP_NS: Final = 10 * SECOND_NS
"""A longer step from one timestamp to the next is a break in the recording, and is not waited for."""
SHORT_SHARE: Final = 0.02
SHORT_FRAMES: Final = 2.0
"""A file is cut off if it plays shorter than it states by more than this share and so many frames."""
TURNS: Final = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


class VideoSource:
    """The pictures of a video file, decoded ahead of their use by a thread of its own."""

    def __init__(self, path: Path, *, width: int, height: int, loop: bool = False) -> None:
        """Pictures larger than `width` × `height` pixels are made smaller; `loop` begins again at the end.

        Returns when the first picture is decoded; raises InputError, naming the file, if there is none.
        """
        self._path = path
        self._loss = _Loss()
        self._ahead = LookAhead(_pictures(path, width, height, loop, self._loss), path.name)
        try:
            self._ahead.wait_first()
        except InputError:
            self._ahead.close()
            raise

    @property
    def loss(self) -> str:
        """What of the file could not be shown, once its end was met; empty if nothing."""
        said = self._loss.words
        return f"{self._path} is damaged or cut off: {said}" if said else ""

    def take(self) -> Picture | Absence:
        """The next picture; its offset is its timestamp's distance from the first one's."""
        return self._ahead.take()

    def close(self) -> None:
        """Close the file."""
        self._ahead.close()


class _Loss:
    """What one round of a file lacked; its words are there once the end of a round was met."""

    def __init__(self) -> None:
        self.words = ""
        self._stated_seconds = 0.0
        self._frame_seconds = 0.0
        self._first: float | None = None
        self._end = 0.0
        self._damaged = 0

    def begin(self, stated_seconds: float, frame_seconds: float) -> None:
        """Begin a round of a file that states how long it plays, 0 if it does not."""
        self._stated_seconds, self._frame_seconds = stated_seconds, frame_seconds
        self._first, self._end, self._damaged = None, 0.0, 0

    def add(self, frame: VideoFrame) -> None:
        """Count a frame that was decoded."""
        self._damaged += frame.is_corrupt
        if frame.time is not None:
            self._first = frame.time if self._first is None else self._first
            self._end = frame.time + self._frame_seconds

    def add_damage(self) -> None:
        """Count a packet that could not be decoded."""
        self._damaged += 1

    def end(self) -> None:
        """Say what was lacking."""
        played = self._end - (self._first or 0.0)
        short = self._stated_seconds - played > SHORT_SHARE * self._stated_seconds + SHORT_FRAMES * self._frame_seconds
        lacking = []
        if short and self._first is not None:
            lacking.append(f"it plays {played:.1f} of the {self._stated_seconds:.1f} s that it states")
        if self._damaged:
            lacking.append(f"damaged packets or pictures: {self._damaged}")
        self.words = ", ".join(lacking)


class _Timeline:
    """Turns a file's timestamps into offsets that start at 0 and never fall, through rounds of a loop."""

    def __init__(self) -> None:
        self._offset_ns = -1
        self._previous_ns: int | None = None
        self._step_ns = 0

    def offset(self, pts: int | None, time_base: Fraction | None, frame_ns: int) -> int:
        """The next frame's offset by its timestamp; `frame_ns`, how long a frame lasts, stands in for missing ones."""
        stamp_ns = None if pts is None or time_base is None else int(pts * time_base * SECOND_NS)
        if self._offset_ns < 0:
            self._offset_ns = 0
        elif stamp_ns is None or self._previous_ns is None or not 0 < stamp_ns - self._previous_ns < LONGEST_STEP_NS:
            self._offset_ns += self._step_ns or frame_ns
        else:
            self._step_ns = stamp_ns - self._previous_ns
            self._offset_ns += self._step_ns
        self._previous_ns = stamp_ns
        return self._offset_ns


def _pictures(path: Path, width: int, height: int, loop: bool, loss: _Loss) -> Iterator[Picture]:
    timeline = _Timeline()
    while True:
        found = False
        try:
            for frame, frame_ns, aspect in _frames(path, loss):
                found = True
                image = upright(frame, aspect, width, height)
                yield Picture(timeline.offset(frame.pts, frame.time_base, frame_ns), encode_jpeg(image))
        except InputError:
            if not found:
                raise
            # a recording that breaks off ends where it breaks off, as every player has it
        loss.end()
        if not found:
            raise InputError(f"{path} holds a video stream but no picture that can be decoded; is the file damaged?")
        if not loop:
            return


def _frames(path: Path, loss: _Loss) -> Iterator[tuple[VideoFrame, int, float]]:
    """The decodable frames of one round, how long each lasts by the stated rate (ns), and a pixel's width ÷ height."""
    with _opened(path) as (container, stream):
        frame_ns = int(SECOND_NS / (stream.average_rate or stream.guessed_rate or UNKNOWN_RATE))
        loss.begin(_stated_seconds(container, stream), frame_ns / SECOND_NS)
        aspect = float(stream.sample_aspect_ratio or 1)
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                raise _unreadable(path, error) from error
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:
                loss.add_damage()
                continue  # a damaged packet costs its own pictures and none of the others
            for frame in frames:
                loss.add(frame)
                yield frame, frame_ns, aspect


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, VideoStream]]:
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise _unreadable(path, error) from error
    with container:
        stream = next((each for each in container.streams.video if not _is_cover(each)), None)
        if stream is None:
            raise InputError(f"{path} holds no video stream; name a video file or a folder of images")
        stream.codec_context.thread_count = 1  # many cameras in a process are parallel enough
        yield container, stream


def _stated_seconds(container: Any, stream: VideoStream) -> float:
    """How long the pictures play by the file's own word, 0 if it gives none; its whole length may be its sound's."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1 and container.duration is not None
    return float(container.duration / av.time_base) if alone else 0.0


def _is_cover(stream: VideoStream) -> bool:
    """Whether the stream is the picture on an audio file's cover."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(f"{path} cannot be read as a video: {reason}; name a video file or a folder of images")


def upright(frame: VideoFrame, aspect: float, most_width: int, most_height: int) -> NDArray[np.uint8]:
    """The frame as it is meant to be seen, BGR uint8[H,W,3], within the most width and height in pixels.

    Pixels, whose width ÷ height is `aspect`, become square; the quarter turns of the file's display matrix are made.
    """
    turns = round(frame.rotation / 90) % 4
    if turns % 2:
        most_width, most_height = most_height, most_width
    width, height = fitted(frame.width * aspect, frame.height, most_width, most_height)
    # by default FFmpeg splits each picture over all cores, and on a busy machine its threads wait for each other
    scaled = frame.reformat(width=width, height=height, format="bgr24", threads=1)
    image = scaled.to_ndarray().astype(np.uint8, copy=False)
    return image if turns == 0 else cv2.rotate(image, TURNS[turns]).astype(np.uint8, copy=False)
