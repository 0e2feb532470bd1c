"""Synthetic streets as cameras: rendered ahead into loops of JPEGs, so that sending costs next to nothing.

A loop's pictures repeat and its sequence numbers go on; by the ground truth each round is a set of new passes.
"""

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Final

from pipeline.cameras.jpeg import encode_jpeg
from pipeline.cameras.source import Picture
from pipeline.core.pacing import Schedule
from pipeline.synthetic.street import Street, StreetSpec

BYTES_PER_PIXEL: Final = 0.14
"""Of a JPEG at the cameras' quality, with room: streets come to 0.09 to 0.12."""

Loop = tuple[bytes, ...]
"""JPEGs of consecutive frames."""


def exact_rate(fps: float) -> Fraction:
    """Frames per second as the decimal number that was written, without the error of a binary fraction."""
    return Fraction(str(fps))


class SyntheticSource:
    """The endless pictures of a street whose loop is rendered; frame n is due n ÷ fps seconds after the start."""

    def __init__(self, loop: Loop, fps: Fraction) -> None:
        self._loop = loop
        self._schedule = Schedule(0, fps)
        self._next = 0

    def take(self) -> Picture:
        """The next picture; a street never ends."""
        sequence = self._next
        self._next = sequence + 1
        return Picture(self._schedule.instant(sequence), self._loop[sequence % len(self._loop)])

    def close(self) -> None:
        """Nothing runs, and the loop may be another camera's too."""


class Rendering:
    """The loops of several streets while they are rendered; streets of equal specs share one."""

    def __init__(self, specs: Iterable[StreetSpec], seconds: float | None) -> None:
        """`seconds` of sending need no more pictures than that, even if the loop is longer; None: whole loops."""
        self._waiting = [(spec, _frames_needed(spec, seconds)) for spec in dict.fromkeys(specs)]
        self.total = sum(frames for _, frames in self._waiting)
        """Pictures to render."""
        self.rendered = 0
        """Pictures rendered so far; other threads may read it."""
        self.memory_bytes = sum(_picture_bytes(spec) * frames for spec, frames in self._waiting)
        """What the loops will take, about."""

    def run(self, going_on: Callable[[], bool]) -> dict[StreetSpec, Loop] | None:
        """Render all loops; None if `going_on`, asked before each street and after each picture, said no.

        On one core a 720p picture takes about 10 ms and a 1080p picture 30 ms.
        """
        loops: dict[StreetSpec, Loop] = {}
        while self._waiting:
            if not going_on():
                return None
            spec, frames = self._waiting.pop()
            street = Street(spec)  # one at a time: the heads of hundreds would take minutes before the first picture
            pictures: list[bytes] = []
            for index in range(frames):
                pictures.append(encode_jpeg(street.render(index)))
                self.rendered += 1
                if not going_on():
                    return None
            loops[spec] = tuple(pictures)
        return loops


def _frames_needed(spec: StreetSpec, seconds: float | None) -> int:
    loop = max(1, round(spec.loop_seconds * spec.fps))  # Street.frames_per_loop, without making the street
    if seconds is None:
        return loop
    return min(loop, math.ceil(seconds * exact_rate(spec.fps)) + 1)


def _picture_bytes(spec: StreetSpec) -> int:
    return round(spec.width * spec.height * BYTES_PER_PIXEL)
