"""The shipped weights are whole, and damaged ones are one clear error."""

import hashlib
from pathlib import Path

import pytest

from pipeline.errors import ModelError
from pipeline.vision.shipped import Backbone, shipped_folder
from pipeline.vision.weights import NetworkName, load_manifest, load_weights


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the shipped folder."""
    for item in shipped_folder().iterdir():
        (tmp_path / item.name).write_bytes(item.read_bytes())
    return tmp_path


@pytest.mark.parametrize("backbone", ["compact", "resnet50"])
@pytest.mark.parametrize("name", ["detector", "embedder"])
def test_shipped_weights_match_their_manifest(name: NetworkName, backbone: Backbone) -> None:
    """Both files load, and their version is the beginning of their sum."""
    folder = shipped_folder(backbone)
    weights = load_weights(name, folder)
    assert weights.tensors
    shipped = getattr(load_manifest(folder), name)
    assert shipped.sha256.startswith(weights.version)
    assert shipped.backbone == (backbone if name == "embedder" else "compact")


@pytest.mark.parametrize(("backbone", "most"), [("compact", 5_000_000), ("resnet50", 48_000_000)])
def test_shipped_embedders_are_as_small_as_said(backbone: Backbone, most: int) -> None:
    """Whoever installs Lamppost downloads both."""
    folder = shipped_folder(backbone)
    assert (folder / load_manifest(folder).embedder.file).stat().st_size <= most


def test_one_changed_byte_is_a_model_error(copied: Path) -> None:
    """Corruption is found by the sum and the message names the file."""
    file = copied / load_manifest().embedder.file
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=f"corrupt.*{file.name}"):
        load_weights("embedder", copied)


def test_missing_file_is_a_model_error(copied: Path) -> None:
    """The message names the file."""
    file = copied / load_manifest().detector.file
    file.unlink()
    with pytest.raises(ModelError, match=file.name):
        load_weights("detector", copied)


def test_missing_manifest_is_a_model_error(tmp_path: Path) -> None:
    """An empty folder is said to lack the manifest."""
    with pytest.raises(ModelError, match=r"manifest\.json"):
        load_manifest(tmp_path)


def test_malformed_manifest_is_a_model_error(copied: Path) -> None:
    """Half a manifest is refused."""
    (copied / "manifest.json").write_text('{"detector": 1}')
    with pytest.raises(ModelError, match="malformed"):
        load_manifest(copied)


def test_other_files_are_not_weights(copied: Path) -> None:
    """A file that is no safetensors is refused even if its sum is the manifest's."""
    shipped = load_manifest(copied).embedder
    junk = b"no tensors here"
    (copied / shipped.file).write_bytes(junk)
    manifest = (copied / "manifest.json").read_text().replace(shipped.sha256, hashlib.sha256(junk).hexdigest())
    (copied / "manifest.json").write_text(manifest)
    with pytest.raises(ModelError, match="safetensors"):
        load_weights("embedder", copied)
