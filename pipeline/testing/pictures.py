"""Pictures whose faces are known: flat squares in a colour that says who it is, on grey."""

from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

IDENTITIES: Final = 16
"""Number of people that can be told apart: the red channel carries one in steps that survive a JPEG."""
STEP: Final = 256 // IDENTITIES
BLUE_AT_LEAST: Final = 200
GREEN_AT_MOST: Final = 60


def blank(height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """A grey BGR picture uint8[H,W,3] without a face."""
    return np.full((height, width, 3), 128, np.uint8)


def paint_face(image: NDArray[np.uint8], x: int, y: int, size: int, identity: int) -> None:
    """Paint the face of person `identity` (0 to 15) as a square with its top left corner at (x, y), in place.

    Raises ValueError if it does not fit into the picture, or the person does not exist.
    """
    height, width = image.shape[:2]
    if not 0 <= identity < IDENTITIES:
        raise ValueError(f"identity {identity} is not within 0 to {IDENTITIES - 1}")
    if x < 0 or y < 0 or size < 1 or x + size > width or y + size > height:
        raise ValueError(f"a face of {size} px at ({x}, {y}) does not fit into {width}×{height} px")
    image[y : y + size, x : x + size] = (255, 0, identity * STEP + STEP // 2)


def face_mask(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """bool[H,W]: the pixels that belong to a painted face."""
    mask: NDArray[np.bool_] = (image[..., 0] >= BLUE_AT_LEAST) & (image[..., 1] <= GREEN_AT_MOST)
    return mask


def identity_of(crop: NDArray[np.uint8]) -> int:
    """The person whose colour fills most of a crop, 0 to 15."""
    return int(np.median(crop[..., 2])) // STEP


@cache
def jpeg(*people: int) -> bytes:
    """A small JPEG of up to three people, side by side, in which the fakes find them again."""
    picture = blank()
    for place, identity in enumerate(people):
        paint_face(picture, 4 + 40 * place, 20, 32, identity)
    return encode(picture)


def encode(picture: NDArray[np.uint8]) -> bytes:
    """A picture as a JPEG of quality 95."""
    encoded, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
    if not encoded:
        raise ValueError("OpenCV could not encode the picture")
    return data.tobytes()
