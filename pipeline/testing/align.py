"""Alignment for faces that are all of one colour."""

import numpy as np
from numpy.typing import NDArray


def align(image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Implements `pipeline.ports.Align`: crops in the colour of each nose, which is all the fake embedder looks at."""
    noses = landmarks[:, 2].astype(int)
    colours = image[noses[:, 1], noses[:, 0]]
    return np.broadcast_to(colours[:, None, None, :], (len(colours), 112, 112, 3)).copy()
