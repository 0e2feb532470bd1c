"""A TorchScript or `torch.export` file as a callable; its program runs as it is, in the precision it was saved in."""

import hashlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
import torch.export.passes
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import ModelError
from pipeline.vision.model_manifest import ModelManifest
from pipeline.vision.weights import VERSION_DIGITS

PROBE_BATCHES: Final = (1, 3)
"""Sizes that a file without a fixed batch has to take at start."""
CHUNK: Final = 32
"""Pictures per pass of a file that takes any batch; bounds memory."""


class ModelFile:
    """A model's file and how to feed it; holds no state between calls."""

    def __init__(self, path: Path, manifest: ModelManifest, device: str) -> None:
        """Load the file that the manifest at `path` names onto a torch device.

        Raises ModelError if the file cannot be read or is not of the manifest's format.
        """
        self.path: Final = path.parent / manifest.file
        self.manifest: Final = manifest
        self._device = torch.device(device)
        shape = (1, 1, 1, 3)
        self._mean = np.asarray(manifest.mean, np.float32).reshape(shape)
        self._factor = (1.0 / np.asarray(manifest.std, np.float32)).reshape(shape)
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise ModelError(f"the model's file {self.path} cannot be read: {error.strerror}") from error
        self.version: Final = hashlib.sha256(content).hexdigest()[:VERSION_DIGITS]
        self._run = self._loaded(content)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the input in pixels."""
        return self.manifest.input

    def blank(self) -> list[tuple[int, Any]]:
        """Return (pictures, output) for blank inputs of the batch sizes that will be used.

        Raises ModelError, with the file's own words, if it does not take them.
        """
        fixed = self.manifest.batch
        width, height = self.size
        counts = (fixed,) if fixed else PROBE_BATCHES
        return [(count, self._once(np.zeros((count, height, width, 3), np.uint8))) for count in counts]

    def __call__(self, pixels: NDArray[np.uint8]) -> Iterator[tuple[int, Any]]:
        """Yield (pictures, output) for BGR pixels uint8[N, H, W, 3] of the input's size, chunk by chunk.

        A file of a fixed batch is given that many, padded with black; the output then has rows beyond the pictures.
        """
        fixed = self.manifest.batch
        step = fixed or CHUNK
        for first in range(0, len(pixels), step):
            part = pixels[first : first + step]
            count = len(part)
            if fixed and count < fixed:
                part = np.concatenate([part, np.zeros((fixed - count, *part.shape[1:]), np.uint8)])
            yield count, self._once(part)

    @torch.inference_mode()
    def _once(self, pixels: NDArray[np.uint8]) -> Any:
        given = pixels if self.manifest.channels == "bgr" else pixels[..., ::-1]
        scaled = np.ascontiguousarray((given.astype(np.float32) - self._mean) * self._factor)
        tensor = torch.from_numpy(scaled).permute(0, 3, 1, 2).contiguous().to(self._device)
        try:
            return self._run(tensor)
        except Exception as error:  # a program of the user's own may raise anything
            raise ModelError(self._refusal(tuple(tensor.shape), error)) from error

    def _refusal(self, shape: tuple[int, ...], error: Exception) -> str:
        said = str(error).strip().splitlines()
        fixed = self.manifest.batch
        hint = (
            f"is batch = {fixed} the size that it was saved with?"
            if fixed
            else "if it was saved for one batch size, save it with a dynamic one or say `batch` in the manifest"
        )
        return (
            f"the model's file {self.path} does not take float32{list(shape)} ({said[-1] if said else type(error)}); "
            f"the manifest says input {list(self.size)}; {hint}"
        )

    def _loaded(self, content: bytes) -> Callable[[Tensor], Any]:
        form = self.manifest.format
        try:
            with _quiet():
                if form == "torchscript":
                    return torch.jit.load(io.BytesIO(content), map_location=self._device).eval()  # type: ignore[no-any-return,no-untyped-call]  # torch does not type it
                program = torch.export.load(io.BytesIO(content))
                if self._device.type != "cpu":
                    program = torch.export.passes.move_to_device_pass(program, str(self._device))
                return program.module()
        except Exception as error:  # torch raises RuntimeError, BadZipFile, KeyError and others for what it cannot read
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelError(
                f"the model's file {self.path} is no {form} file that torch can load: {said[0]}"
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's traceback of a file that it cannot read, and its word that TorchScript is frozen."""
    log = logging.getLogger("torch.export")
    before, log.disabled = log.disabled, True
    archive = logging.getLogger("torch.export.pt2_archive._package")
    archive_before, archive.disabled = archive.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        log.disabled, archive.disabled = before, archive_before


def fitted(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return crops uint8[N, H, W, 3] scaled to (width, height)."""
    width, height = size
    if images.shape[1:3] == (height, width):
        return images
    out = np.empty((len(images), height, width, 3), np.uint8)
    for image, target in zip(images, out, strict=True):
        cv2.resize(image, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
    return out
