"""A folder that training writes: two networks' files, and the manifest that belongs to both.

What is new is made in memory and put into its place at the end, the manifest last: an interruption before leaves the
folder as it was. One in between leaves a file that the manifest does not know, which the next training takes for a
network that was trained here.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, get_args

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from pipeline.errors import ModelError
from pipeline.vision.backbones import Backbone, backbone_network
from pipeline.vision.networks import DetectorNetwork
from pipeline.vision.shipped import shipped_folder
from pipeline.vision.weights import VERSION_DIGITS, Manifest, NetworkName, ShippedFile, load_manifest

MANIFEST: Final = "manifest.json"


class NetworkFile(NamedTuple):
    """The bytes of a network's file, whether or not they lie in a folder yet, and what is known of them."""

    name: str
    content: bytes
    backbone: Backbone = "compact"
    ceilings: Mapping[str, float] | None = None
    """Ceilings of the activations, empty where there is no int8; None where they have to be found."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def version(self) -> str:
        """The beginning of it."""
        return self.sha256[:VERSION_DIGITS]

    def tensors(self) -> dict[str, Tensor]:
        """Return the state dict as a reader of the file gets it."""
        return load(self.content)

    def part(self) -> ShippedFile:
        """Return what a manifest says of it."""
        return ShippedFile(self.name, self.sha256, self.backbone, dict(self.ceilings or {}))


def trained_file(network: NetworkName, backbone: Backbone, tensors: Mapping[str, Tensor]) -> NetworkFile:
    """Return the file of a state dict; the large backbone's is in fp16, which halves it."""
    half = backbone != "compact"
    kept = {name: each.half() if half and each.is_floating_point() else each for name, each in tensors.items()}
    content = save({name: tensor.contiguous() for name, tensor in kept.items()})
    return NetworkFile(_file_name(network), content, backbone, {} if half else None)


def kept_file(folder: Path, network: NetworkName) -> NetworkFile:
    """Return the folder's file of a network, or the shipped one if the folder has none.

    A file that neither the folder's manifest nor the shipped one knows is taken for a network that was trained there.
    Raises ModelError if it is none, or if the folder's manifest cannot be read.
    """
    shipped: ShippedFile = getattr(load_manifest(), network)
    known = [shipped]
    if (folder / MANIFEST).exists():
        known.insert(0, getattr(_manifest(folder), network))
    path = next((folder / each.file for each in known if (folder / each.file).exists()), None)
    if path is None:
        return _said(shipped, (shipped_folder() / shipped.file).read_bytes())
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    for each in known:
        if each.sha256 == digest:
            return _said(each, content)
    backbone = _backbone(path, network, content)
    return NetworkFile(_file_name(network), content, backbone, None if backbone == "compact" else {})


def write_pair(folder: Path, detector: NetworkFile, embedder: NetworkFile, manifest: Manifest) -> None:
    """Put the files that the folder does not have into it, and then the manifest of both."""
    for each in (detector, embedder):
        path = folder / each.name
        if not path.exists() or path.read_bytes() != each.content:
            _replace(path, each.content)
    _replace(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def _manifest(folder: Path) -> Manifest:
    try:
        return load_manifest(folder)
    except ModelError as error:
        raise ModelError(
            f"{folder / MANIFEST} cannot be used ({error.__cause__}): remove it, and the networks beside it are kept"
        ) from error


def _said(part: ShippedFile, content: bytes) -> NetworkFile:
    """What a manifest says of a file, which may be without the ceilings that a compact network has."""
    found = part.ceilings or (None if part.backbone == "compact" else {})
    return NetworkFile(part.file, content, part.backbone, found)


def _backbone(path: Path, network: NetworkName, content: bytes) -> Backbone:
    """Return which network a file that no manifest knows is of."""
    try:
        shapes = {name: each.shape for name, each in load(content).items()}
    except SafetensorError as error:
        raise ModelError(f"{path} is no safetensors file ({error}): remove it, or name another folder") from error
    candidates: tuple[Backbone, ...] = get_args(Backbone) if network == "embedder" else ("compact",)
    for backbone in candidates:
        made: nn.Module = DetectorNetwork() if network == "detector" else backbone_network(backbone)
        if shapes == {name: each.shape for name, each in made.state_dict().items()}:
            return backbone
    raise ModelError(f"{path} holds no {network} that Lamppost knows: remove it, or name another folder")


def _file_name(network: NetworkName) -> str:
    return f"{network}.safetensors"


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
