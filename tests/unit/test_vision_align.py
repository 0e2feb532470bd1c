"""Alignment: a similarity transform found in closed form."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.synthetic.faces import CROP_LANDMARKS
from pipeline.vision.align import align, similarity

TEMPLATE = np.array(CROP_LANDMARKS)


@settings(deadline=None)
@given(st.floats(-3.0, 3.0), st.floats(0.1, 8.0), st.floats(-500, 500), st.floats(-500, 500))
def test_similarity_undoes_turn_scale_and_shift(angle: float, scale: float, x: float, y: float) -> None:
    """Landmarks moved by a similarity transform are brought back onto the template."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (TEMPLATE @ turn.T + [x, y]).astype(np.float32)
    matrix = similarity(moved[None])[0]
    assert np.allclose(moved @ matrix[:, :2].T + matrix[:, 2], TEMPLATE, atol=0.02)


def test_similarity_agrees_with_least_squares_of_opencv() -> None:
    """With noisy landmarks the closed form is the least-squares solution that OpenCV finds by iteration."""
    noisy = (TEMPLATE * 0.4 + 30 + np.random.default_rng(0).normal(0, 1.0, (5, 2))).astype(np.float32)
    matrix = similarity(noisy[None])[0]
    other, _ = cv2.estimateAffinePartial2D(noisy, TEMPLATE.astype(np.float32), method=cv2.LMEDS)
    error = np.square(noisy @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE).sum()
    assert error <= np.square(noisy @ other[:, :2].T + other[:, 2] - TEMPLATE).sum() + 1e-6


def test_template_landmarks_leave_the_picture_unchanged() -> None:
    """A crop that is aligned already stays as it is."""
    image = np.random.default_rng(1).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    assert np.array_equal(align(image, TEMPLATE[None].astype(np.float32))[0], image)


def test_no_face_gives_no_crop() -> None:
    """Empty in, empty out, with the crop's shape."""
    crops = align(np.zeros((50, 50, 3), np.uint8), np.empty((0, 5, 2), np.float32))
    assert crops.shape == (0, 112, 112, 3)
    assert crops.dtype == np.uint8


def test_coinciding_landmarks_do_not_raise() -> None:
    """Degenerate landmarks still give a crop."""
    assert align(np.zeros((50, 50, 3), np.uint8), np.full((1, 5, 2), 7.0, np.float32)).shape == (1, 112, 112, 3)
