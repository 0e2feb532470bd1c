"""Drawing on a picture: boxes, labels that keep clear of each other, an inset and a legend.

Sizes are stated in pixels of a picture 720 px high and scaled to the one at hand; positions are its own pixels.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
"""Blue, green, red, each 0 to 255."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

INK: Final[Colour] = (24, 22, 20)
PAPER: Final[Colour] = (245, 245, 245)
TEXT: Final = 15
SMALL: Final = 13
MARGIN: Final = 10
LEGEND: Final = 40


class Canvas:
    """A BGR picture uint8[H,W,3] that is drawn upon in place."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.image = image
        self.height, self.width = (int(side) for side in image.shape[:2])
        self._taken: list[Box] = [
            (0.0, float(self.height - self.pixels(LEGEND)), float(self.width), float(self.height))
        ]

    def pixels(self, size: float) -> int:
        """A size in pixels of this picture, 1 at least."""
        return max(1, round(size * self.height / 720))

    def corners(self, box: Box, colour: Colour, thickness: float) -> None:
        """A box drawn by its four corners, which leaves the face to be seen."""
        left, top, right, bottom = (round(each) for each in box)
        side = min(right - left, bottom - top)
        arm = max(4, round(0.28 * side))
        line = max(1, min(self.pixels(thickness), side // 14))
        for x, to_right in ((left, 1), (right, -1)):
            for y, to_bottom in ((top, 1), (bottom, -1)):
                for end in ((x + to_right * arm, y), (x, y + to_bottom * arm)):
                    cv2.line(self.image, (x, y), end, INK, line + 2, cv2.LINE_AA)
                    cv2.line(self.image, (x, y), end, colour, line, cv2.LINE_AA)
        self._taken.append(box)

    def dots(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        """Landmarks."""
        for x, y in points:
            at = (round(x * 16), round(y * 16))
            cv2.circle(self.image, at, self.pixels(2.6) * 16, INK, -1, cv2.LINE_AA, 4)
            cv2.circle(self.image, at, self.pixels(1.7) * 16, colour, -1, cv2.LINE_AA, 4)

    def label(self, lines: Sequence[str], box: Box, colour: Colour, *, bold: bool) -> None:
        """Lines of text beside a box, where they cover the least of what was drawn before."""
        size = self.pixels(TEXT if bold else SMALL)
        pad, step = self.pixels(5), round(size * 1.3)
        wide = max(self._text_width(line, size, bold) for line in lines) + 2 * pad
        high = step * len(lines) + 2 * pad - self.pixels(2)
        left, top = min(self._places(box, wide, high), key=lambda place: self._covered(place, wide, high))
        shade = colour if bold else INK
        self._panel(left, top, wide, high, colour=shade, opacity=0.92 if bold else 0.62)
        for number, line in enumerate(lines):
            baseline = top + pad + round(size * 0.92) + number * step
            self._text(line, left + pad, baseline, size, colour=PAPER if bold else colour, bold=bold)
        self._taken.append((left, top, left + wide, top + high))

    def inset(self, picture: NDArray[np.uint8], at_left: bool, colour: Colour, caption: str) -> None:
        """A small picture in an upper corner, framed, with a caption below."""
        margin, border, size = self.pixels(16), self.pixels(3), self.pixels(SMALL)
        high, wide = picture.shape[:2]
        left = margin if at_left else self.width - margin - wide
        outer_wide, outer_high = wide + 2 * border, high + 2 * border + round(size * 1.7)
        self._panel(left - border, margin - border, outer_wide, outer_high, colour=INK, opacity=0.8)
        self._taken.append((left - border, 0, left + outer_wide, margin + outer_high))
        self.image[margin : margin + high, left : left + wide] = picture
        cv2.rectangle(self.image, (left, margin), (left + wide, margin + high), colour, border, cv2.LINE_AA)
        self._text(caption, left + self.pixels(4), margin + high + round(size * 1.35), size, colour=PAPER, bold=False)

    def legend(self, title: str, remark: str, keys: Sequence[tuple[Colour, str]]) -> None:
        """A strip along the lower edge: a title, what the colours mean, and a remark at the right."""
        high, size, gap = self.pixels(LEGEND), self.pixels(TEXT), self.pixels(22)
        top = self.height - high
        self._panel(0, top, self.width, high, colour=INK, opacity=0.78)
        baseline = top + round(0.5 * high + 0.36 * size)
        at = self._text(title, gap, baseline, size, colour=PAPER, bold=True) + gap
        for colour, meaning in keys:
            radius = self.pixels(5)
            cv2.circle(self.image, (at + radius, top + high // 2), radius, colour, -1, cv2.LINE_AA)
            at = self._text(meaning, at + 3 * radius, baseline, self.pixels(SMALL), colour=PAPER, bold=False) + gap
        small = self.pixels(SMALL)
        wide = self._text_width(remark, small, False)
        if at + wide + gap < self.width:
            self._text(remark, self.width - wide - gap, baseline, small, colour=(190, 190, 190), bold=False)

    def _places(self, box: Box, wide: int, high: int) -> list[tuple[int, int]]:
        """Upper left corners that a label of a box may have, the best first: above, below, right, left, further up."""
        gap = self.pixels(6)
        left, top, right, bottom = box
        centred = (left + right - wide) / 2
        wishes = [
            (centred, top - high - gap),
            (centred, bottom + gap),
            (right + gap, top),
            (left - wide - gap, top),
            (centred, top - 2 * high - 2 * gap),
        ]
        return [
            (round(min(max(x, 0), self.width - wide)), round(min(max(y, 0), self.height - high))) for x, y in wishes
        ]

    def _covered(self, place: tuple[int, int], wide: int, high: int) -> float:
        """Area in square pixels of what a label there would hide."""
        left, top = place
        return sum(
            max(0.0, min(left + wide, right) - max(left, x)) * max(0.0, min(top + high, bottom) - max(top, y))
            for x, y, right, bottom in self._taken
        )

    def _panel(self, left: int, top: int, wide: int, high: int, *, colour: Colour, opacity: float) -> None:
        """A rectangle that lets some of the picture through."""
        area = self.image[max(0, top) : top + high, max(0, left) : left + wide]
        area[:] = (area * (1 - opacity) + np.array(colour) * opacity).astype(np.uint8)

    @cached_property
    def _font(self) -> cv2.FontFace:
        return cv2.FontFace("sans")

    def _text(self, text: str, left: int, baseline: int, size: int, *, colour: Colour, bold: bool) -> int:
        """Write, and return where the text ends."""
        cv2.putText(self.image, text, (left, baseline), colour, self._font, size, 600 if bold else 400)
        return left + self._text_width(text, size, bold)

    def _text_width(self, text: str, size: int, bold: bool) -> int:
        area = cv2.getTextSize((self.width, self.height), text, (0, size), self._font, size, 600 if bold else 400)
        return int(area[2])
