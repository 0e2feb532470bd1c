"""Networks of the user's own in the places of the shipped ones: `Embedder` and `Detector` over a model's file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import ModelError
from pipeline.records import Detections
from pipeline.synthetic.faces import CROP_SIZE
from pipeline.vision.detector import best_boxes, letterbox
from pipeline.vision.embedder import check_crops, normalised
from pipeline.vision.model_file import ModelFile, fitted
from pipeline.vision.model_manifest import read_model_manifest

RANDOM_CROPS: Final = 8
"""Crops of noise that an embedder has to make templates of at start."""


class OwnEmbedder:
    """Implements `pipeline.ports.Embedder` over the file of a manifest."""

    def __init__(self, manifest: Path, *, device: str = "cpu") -> None:
        """Load the file and look at its output for blank crops, and at its templates of random ones.

        Raises ModelError if manifest or file cannot be used, if the output is not float[N, dimension], or if a template
        of it is not finite or has no length.
        """
        said = read_model_manifest(manifest, "embedder")
        self._file = ModelFile(manifest, said, device)
        self._dimension = said.dimension or 0  # the reader has refused a manifest without it
        self.threshold: Final = said.threshold
        """The cosine that the manifest says, if it does."""
        for count, output in self._file.blank():
            expected = [count, self._dimension]
            if not isinstance(output, Tensor) or not output.is_floating_point() or list(output.shape) != expected:
                raise ModelError(
                    f"the model's file {self._file.path} returns {_described(output)} for {count} crops; its manifest "
                    f"says dimension {self._dimension}, so float{expected} was expected"
                )
        self._check_templates()

    @property
    def dimension(self) -> int:
        """Components of a template."""
        return self._dimension

    @property
    def version(self) -> str:
        """The beginning of the file's SHA-256."""
        return self._file.version

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return templates float32[N, d], L2-normalised, of aligned BGR crops uint8[N, 112, 112, 3]; N may be 0.

        Crops are scaled to the file's input. Raises ModelError if they have another shape or type.
        """
        check_crops(crops)
        templates = np.empty((len(crops), self._dimension), np.float32)
        first = 0
        for count, output in self._file(fitted(crops, self._file.size)):
            templates[first : first + count] = normalised(output[:count])
            first += count
        return templates

    def _check_templates(self) -> None:
        shape = (RANDOM_CROPS, CROP_SIZE, CROP_SIZE, 3)
        lengths = np.linalg.norm(self.embed(np.random.default_rng(0).integers(0, 256, shape, np.uint8)), axis=1)
        lost = int(np.count_nonzero(~np.isclose(lengths, 1.0, atol=1e-3)))  # NaN is close to nothing
        if lost:
            raise ModelError(
                f"the model's file {self._file.path} returns for {lost} of {RANDOM_CROPS} random crops a template that "
                f"is not finite or has no length; do mean and std in its manifest fit, and was it trained?"
            )


class OwnDetector:
    """Implements `pipeline.ports.Detector` over the file of a manifest.

    The file takes float32[N, 3, H, W] and returns boxes float[N, K, 4] (left, top, right, bottom) and landmarks
    float[N, K, 5, 2] (right eye, left eye, nose, right and left corner of the mouth, as the viewer sees them from left
    to right) in pixels of its input, and scores float[N, K] in 0 … 1; K is its own affair. What scores low or lies
    under a better box is dropped here.
    """

    def __init__(self, manifest: Path, *, device: str = "cpu", least_score: float = 0.6, overlap: float = 0.4) -> None:
        """Load the file and look at its output for blank pictures.

        Raises ModelError if manifest or file cannot be used, or if the output is not as described above.
        """
        said = read_model_manifest(manifest, "detector")
        self._file = ModelFile(manifest, said, device)
        self._least_score = least_score
        self._overlap = overlap
        for count, output in self._file.blank():
            self._check(output, count)

    @property
    def version(self) -> str:
        """The beginning of the file's SHA-256."""
        return self._file.version

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Return the faces of each BGR image, uint8[H, W, 3], in pixels of that image, the best score first."""
        width, height = self._file.size
        pixels = np.zeros((len(images), height, width, 3), np.uint8)
        scales = [letterbox(image, out, (width, height)) for image, out in zip(images, pixels, strict=True)]
        found: list[Detections] = []
        for count, output in self._file(pixels):
            boxes, landmarks, scores = (each[:count].float().cpu().numpy() for each in output)
            for index in range(count):
                at = len(found)
                found.append(self._faces(boxes[index], landmarks[index], scores[index], scales[at], images[at].shape))
        return found

    def _faces(
        self,
        boxes: NDArray[np.float32],
        landmarks: NDArray[np.float32],
        scores: NDArray[np.float32],
        scale: float,
        shape: tuple[int, ...],
    ) -> Detections:
        good = scores > self._least_score
        boxes, landmarks, scores = boxes[good], landmarks[good], scores[good]
        keep = best_boxes(boxes, scores, self._overlap)
        boxes = boxes[keep] / scale
        boxes[:, 0::2] = boxes[:, 0::2].clip(0, shape[1])
        boxes[:, 1::2] = boxes[:, 1::2].clip(0, shape[0])
        return Detections(boxes=boxes, landmarks=landmarks[keep] / np.float32(scale), scores=scores[keep])

    def _check(self, output: Any, count: int) -> None:
        three = isinstance(output, tuple | list) and len(output) == 3 and all(isinstance(o, Tensor) for o in output)
        if three:
            candidates = output[2].shape[-1] if output[2].ndim == 2 else -1
            expected = [(count, candidates, 4), (count, candidates, 5, 2), (count, candidates)]
            three = [tuple(each.shape) for each in output] == expected and all(o.is_floating_point() for o in output)
        if not three:
            raise ModelError(
                f"the model's file {self._file.path} returns {_described(output)} for {count} pictures; expected are "
                f"boxes float[{count}, K, 4], landmarks float[{count}, K, 5, 2] and scores float[{count}, K]"
            )


def _described(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"{str(output.dtype).removeprefix('torch.')}{list(output.shape)}"
    if isinstance(output, tuple | list):
        return "(" + ", ".join(_described(each) for each in output) + ")"
    return type(output).__name__
