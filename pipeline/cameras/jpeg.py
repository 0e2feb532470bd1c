"""Pictures as cameras send them: fitted into a size and compressed."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

QUALITY: Final = 87
"""JPEG quality of cameras; a synthetic 720p frame comes to about 100 KB."""


def encode_jpeg(image: NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """The BGR picture uint8[H,W,3] as JPEG; raises InputError if its size is none that JPEG can hold."""
    try:
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        raise InputError(f"a picture of {_size(image)} cannot be stored as JPEG: {error.err}") from error
    if not done:
        raise InputError(f"a picture of {_size(image)} cannot be stored as JPEG")
    return data.tobytes()


def fitted(width: float, height: float, most_width: int, most_height: int) -> tuple[int, int]:
    """Width and height in whole pixels that lie within the most, at the same aspect ratio; never larger than given."""
    scale = min(1.0, most_width / width, most_height / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def fit(image: NDArray[np.uint8], most_width: int, most_height: int) -> NDArray[np.uint8]:
    """The picture uint8[H,W,3], made smaller if it is larger than the most."""
    height, width = image.shape[:2]
    size = fitted(width, height, most_width, most_height)
    if size == (width, height):
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _size(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[1]}x{image.shape[0]} pixels"
