"""Alignment: a similarity transform puts five landmarks where an embedder expects them."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.faces import CROP_LANDMARKS, CROP_SIZE

_TARGET: Final = np.array(CROP_LANDMARKS, dtype=np.float64)


def similarity(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the least-squares similarity transforms, float64[N, 2, 3], from landmarks float32[N, 5, 2] to a crop.

    Closed form over complex numbers: with centred points p and q, the factor is Σ conj(p)·q / Σ |p|². Landmarks that
    all coincide give a factor of 0.
    """
    points = landmarks[..., 0].astype(np.float64) + 1j * landmarks[..., 1]
    target = _TARGET[:, 0] + 1j * _TARGET[:, 1]
    centre = points.mean(axis=1, keepdims=True)
    centred = points - centre
    power = np.maximum((np.abs(centred) ** 2).sum(axis=1), 1e-12)
    factor = (np.conj(centred) * (target - target.mean())).sum(axis=1) / power
    shift = target.mean() - factor * centre[:, 0]
    matrices = np.empty((len(landmarks), 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 0, 2] = factor.real, -factor.imag, shift.real
    matrices[:, 1, 0], matrices[:, 1, 1], matrices[:, 1, 2] = factor.imag, factor.real, shift.imag
    return matrices


def align(image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return aligned crops, uint8[N, 112, 112, 3], of an image uint8[H, W, 3] at landmarks float32[N, 5, 2] in pixels.

    What lies outside the image is a repeat of its edge.
    """
    crops = np.empty((len(landmarks), CROP_SIZE, CROP_SIZE, 3), np.uint8)
    for crop, matrix in zip(crops, similarity(landmarks), strict=True):
        cv2.warpAffine(
            image, matrix, (CROP_SIZE, CROP_SIZE), dst=crop, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return crops
