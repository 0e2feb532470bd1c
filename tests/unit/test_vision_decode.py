"""Decoding: the header decides before pixels are made, and every bad picture is one FrameError."""

import cv2
import numpy as np
import pytest

from pipeline.errors import FrameError
from pipeline.vision.decode import decode_jpeg, jpeg_size

PICTURE = np.random.default_rng(0).integers(0, 255, (90, 160, 3), dtype=np.uint8)
JPEG = bytes(cv2.imencode(".jpg", PICTURE)[1])


def test_header_tells_the_size() -> None:
    """Width and height come from the header alone."""
    assert jpeg_size(JPEG[:700]) == (160, 90)


def test_progressive_header_tells_the_size() -> None:
    """Progressive JPEG has another frame header."""
    progressive = bytes(cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1])
    assert jpeg_size(progressive) == (160, 90)
    assert decode_jpeg(progressive).shape == (90, 160, 3)


def test_decoded_pixels_are_bgr_bytes() -> None:
    """The whole picture comes back."""
    image = decode_jpeg(JPEG)
    assert image.shape == PICTURE.shape
    assert image.dtype == np.uint8


def test_reduction_scales_while_decoding() -> None:
    """Half of each side at reduction 2."""
    assert decode_jpeg(JPEG, reduction=2).shape == (45, 80, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"GIF89a, not a JPEG", "not_a_jpeg"),
        (b"\xff\xd8\xff", "undecodable"),
        (b"\xff\xd8" + b"\x00" * 40, "undecodable"),
        (JPEG[: len(JPEG) // 2], "undecodable"),
    ],
)
def test_bad_pictures_are_frame_errors_with_their_reason(data: bytes, reason: str) -> None:
    """Each kind of garbage has its reason of the catalogue."""
    with pytest.raises(FrameError) as caught:
        decode_jpeg(data)
    assert caught.value.reason == reason


def test_a_picture_of_many_scans_is_refused_before_any_is_gone_through() -> None:
    """Each of ten bytes would cost a pass over all pixels: 4 MiB of them minutes."""
    progressive = bytes(cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1])
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00"
    assert decode_jpeg(progressive[:-2] + scan * 20 + progressive[-2:]).shape == PICTURE.shape
    with pytest.raises(FrameError, match="scans, at most 64") as caught:
        decode_jpeg(progressive[:-2] + scan * 64 + progressive[-2:])
    assert caught.value.reason == "undecodable"


def test_large_pictures_are_refused_by_their_header() -> None:
    """A header that promises too many pixels is refused, though the data is short."""
    start = JPEG.index(b"\xff\xc0")
    bomb = JPEG[: start + 5] + b"\xff\xff\xff\xff" + JPEG[start + 9 :]
    with pytest.raises(FrameError) as caught:
        decode_jpeg(bomb)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize("seed", range(20))
def test_scrambled_pictures_decode_or_are_refused(seed: int) -> None:
    """Random damage gives pixels of the promised size or a FrameError, nothing else."""
    rng = np.random.default_rng(seed)
    data = bytearray(JPEG)
    for position in rng.integers(2, len(data), 12):
        data[position] = int(rng.integers(256))
    try:
        image = decode_jpeg(bytes(data))
    except FrameError as error:
        assert error.reason in {"undecodable", "too_large", "not_a_jpeg"}
    else:
        assert image.shape[:2] == jpeg_size(bytes(data))[::-1]
