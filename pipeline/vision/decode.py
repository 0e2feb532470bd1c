"""JPEG decoding that looks at the header before it spends memory on pixels."""

import struct
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.catalog.outcomes import DeadLetterReason
from pipeline.errors import FrameError

MAX_PIXELS: Final = 4096 * 2304
"""Pictures with more pixels are refused before they are decoded."""

MAX_SCANS: Final = 64
"""A progressive picture comes in some ten scans, and each may be a few bytes that cost a pass over all pixels."""

_START_OF_IMAGE: Final = b"\xff\xd8"
_END_OF_IMAGE: Final = b"\xff\xd9"
_START_OF_SCAN: Final = 0xDA
_START_OF_FRAME: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_REDUCTIONS: Final = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels from a JPEG's frame header (ITU-T T.81, B.2.2), without decoding it.

    Raises FrameError: `empty`, `not_a_jpeg` if it does not begin like one, `undecodable` if no frame header is found.
    """
    if not data:
        raise FrameError(DeadLetterReason.EMPTY)
    if not data.startswith(_START_OF_IMAGE):
        raise FrameError(DeadLetterReason.NOT_A_JPEG, "no start-of-image marker")
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise FrameError(DeadLetterReason.UNDECODABLE, f"no marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        if marker == _START_OF_SCAN:
            break
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _START_OF_FRAME:
            if position + 9 > len(data):
                break
            height, width = struct.unpack_from(">HH", data, position + 5)
            return int(width), int(height)
        position += 2 + length
    raise FrameError(DeadLetterReason.UNDECODABLE, "no frame header")


def decode_jpeg(data: bytes, *, max_pixels: int = MAX_PIXELS, reduction: Literal[1, 2, 4, 8] = 1) -> NDArray[np.uint8]:
    """Return a JPEG's pixels, uint8[H, W, 3] BGR; with `reduction` the picture is scaled down while it is decoded.

    Releases the interpreter lock while it decodes. Raises FrameError: as `jpeg_size`, `too_large` if the picture has
    more than `max_pixels`, `undecodable` if it is cut off or broken or of more than `MAX_SCANS` scans.
    """
    width, height = jpeg_size(data)
    if width * height > max_pixels:
        raise FrameError(DeadLetterReason.TOO_LARGE, f"{width}x{height} pixels, at most {max_pixels} are decoded")
    if width * height == 0:
        raise FrameError(DeadLetterReason.UNDECODABLE, f"{width}x{height} pixels")
    # No entropy-coded data holds the bytes of a marker, so that each of these begins a scan (or lies in a thumbnail).
    scans = data.count(bytes((0xFF, _START_OF_SCAN)))
    if scans > MAX_SCANS:
        raise FrameError(DeadLetterReason.UNDECODABLE, f"{scans} scans, at most {MAX_SCANS} are decoded")
    # The bytes 0xFF 0xD9 cannot occur in entropy-coded data, so a picture without them at its end is cut off; libjpeg
    # would fill the rest with grey.
    if data.rfind(_END_OF_IMAGE) < 0:
        raise FrameError(DeadLetterReason.UNDECODABLE, "no end-of-image marker")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _REDUCTIONS[reduction] | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise FrameError(DeadLetterReason.UNDECODABLE, str(error).splitlines()[0]) from error
    if image is None:
        raise FrameError(DeadLetterReason.UNDECODABLE)
    return np.asarray(image, np.uint8)
