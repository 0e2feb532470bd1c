"""The shipped weights: safetensors beside a manifest of their SHA-256 sums."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from pipeline.errors import ModelError
from pipeline.vision.shipped import Backbone, shipped_folder

VERSION_DIGITS: Final = 12

NetworkName = Literal["detector", "embedder"]
Cosine = Annotated[float, msgspec.Meta(ge=-1, le=1)]
Ceiling = Annotated[float, msgspec.Meta(gt=0)]


class ShippedFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One network's file in the package."""

    file: str
    sha256: str
    backbone: Backbone = "compact"
    """The embedder's network; a detector has one alone."""
    ceilings: dict[str, Ceiling] = msgspec.field(default_factory=dict)
    """By the name of each convolution, the ceiling of its input's activations, for int8; empty where int8 is not."""


class OperatingPoint(msgspec.Struct, frozen=True):
    """The shipped threshold and what it was chosen for; the people it was chosen on are in no test and no training."""

    threshold: Cosine
    """Cosine similarity at and above which a face is an alert."""
    gallery: int
    """Watchlist entries it was chosen with."""
    target_fpir: float
    """False positive identification rate per face that it was chosen for."""
    faces: int
    """Faces of people who are not listed that it was chosen on."""
    command: str


class Manifest(msgspec.Struct, frozen=True):
    """What `manifest.json` says."""

    detector: ShippedFile
    embedder: ShippedFile
    operating_point: OperatingPoint


@dataclass(frozen=True, slots=True)
class Weights:
    """A network's state dict, the first digits of its file's SHA-256, and what the manifest says of it."""

    tensors: dict[str, Tensor]
    version: str
    backbone: Backbone = "compact"
    ceilings: dict[str, float] = field(default_factory=dict)


def load_manifest(folder: Path | None = None) -> Manifest:
    """Read the manifest of a folder (the shipped one by default); raises ModelError if it is missing or malformed."""
    path = (folder or shipped_folder()) / "manifest.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise ModelError(
            f"the manifest of the weights cannot be read: {path} ({error.strerror}); {_remedy(folder)}"
        ) from error
    except msgspec.MsgspecError as error:
        raise ModelError(f"the manifest of the weights is malformed: {path} ({error}); {_remedy(folder)}") from error


def load_weights(name: NetworkName, folder: Path | None = None) -> Weights:
    """Read a network's weights and check them against the manifest.

    Raises ModelError if the file is missing, its SHA-256 is another, or it is no safetensors file.
    """
    shipped: ShippedFile = getattr(load_manifest(folder), name)
    path = (folder or shipped_folder()) / shipped.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"the {name}'s weights cannot be read: {path} ({error.strerror}); {_remedy(folder)}"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != shipped.sha256:
        raise ModelError(
            f"the {name}'s weights are corrupt: {path} has SHA-256 {digest}, "
            f"the manifest says {shipped.sha256}; {_remedy(folder)}"
        )
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise ModelError(f"the {name}'s weights are no safetensors file: {path} ({error})") from error
    return Weights(tensors, digest[:VERSION_DIGITS], shipped.backbone, shipped.ceilings)


def _remedy(folder: Path | None) -> str:
    return "reinstall" if folder is None else "set vision.weights to a folder that `lamppost train` wrote"
