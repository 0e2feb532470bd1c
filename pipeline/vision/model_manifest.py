"""The manifest of a network of the user's own: a TOML file beside the model's. Importing this imports no torch.

docs/models.md describes the fields and what a file of each kind takes and returns.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from pipeline.errors import ModelError

Size = Annotated[int, msgspec.Meta(ge=16, le=4096)]
Channel = Annotated[float, msgspec.Meta(ge=-1e4, le=1e4)]
Deviation = Annotated[float, msgspec.Meta(ge=2.0**-126, le=1e4)]
"""At least the least normal float32: networks compute in it, and what is less is zero there or has no inverse."""


class ModelManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a manifest says."""

    network: Literal["embedder", "detector"]
    file: str
    """The model's file, beside the manifest."""
    format: Literal["torchscript", "export"]
    input: tuple[Size, Size]
    """Width and height of the network's input in pixels."""
    mean: tuple[Channel, Channel, Channel]
    """Subtracted from each channel's 0 … 255, in the order of `channels`."""
    std: tuple[Deviation, Deviation, Deviation]
    """What the difference is divided by."""
    channels: Literal["rgb", "bgr"]
    dimension: Annotated[int, msgspec.Meta(ge=2, le=4096)] | None = None
    """Components of a template; an embedder's manifest must say it."""
    threshold: Annotated[float, msgspec.Meta(ge=-1, le=1)] | None = None
    """Cosine from which two templates are the same person's; used where `matching.threshold` is not set."""
    batch: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    """The one batch size that the file takes; None: any."""


def read_model_manifest(path: Path, network: Literal["embedder", "detector"]) -> ModelManifest:
    """Read a manifest; raises ModelError naming file and field if it cannot be read or is for another network."""
    try:
        manifest = msgspec.toml.decode(path.read_bytes(), type=ModelManifest)
    except OSError as error:
        raise ModelError(
            f"the model manifest {path} (vision.{network}_model) cannot be read: {error.strerror}"
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelError(f"the model manifest {path} is malformed: {error}; docs/models.md has an example") from error
    if manifest.network != network:
        raise ModelError(
            f"the model manifest {path} describes a {manifest.network}, but vision.{network}_model needs a {network}"
        )
    if network == "embedder" and manifest.dimension is None:
        raise ModelError(f"the model manifest {path} lacks the field `dimension`, which an embedder's must have")
    return manifest
