"""Networks of the user's own: what is taken, and that everything else is refused with file and numbers."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import ModelError
from pipeline.vision.model_manifest import read_model_manifest
from pipeline.vision.own_models import OwnDetector, OwnEmbedder

CROPS = np.random.default_rng(0).integers(0, 255, (5, 112, 112, 3), dtype=np.uint8)

EMBEDDER = """
network = "embedder"
file = "net.pt"
format = "{format}"
input = [{side}, {side}]
mean = [127.5, 127.5, 127.5]
std = [127.5, 127.5, 127.5]
channels = "{channels}"
dimension = {dimension}
{more}
"""

DETECTOR = """
network = "detector"
file = "net.pt"
format = "torchscript"
input = [160, 96]
mean = [0.0, 0.0, 0.0]
std = [255.0, 255.0, 255.0]
channels = "bgr"
"""


class Tiny(nn.Module):
    """Means of the channels, spread to d components."""

    def __init__(self, dimension: int = 16) -> None:
        super().__init__()
        self.head = nn.Linear(3, dimension)

    def forward(self, x: Tensor) -> Tensor:
        """Return float[N, d]."""
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class OneFace(nn.Module):
    """Says one good face, the same one again a little worse, and a bad one, in every picture."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes, landmarks and scores."""
        ones = torch.ones((x.shape[0], 1, 1))
        boxes = ones * torch.tensor([[10.0, 10, 30, 40], [11, 11, 31, 41], [50, 50, 60, 60]])
        landmarks = (ones * torch.arange(30.0).reshape(1, 3, 10)).reshape(-1, 3, 5, 2)
        return boxes, landmarks, ones[:, 0] * torch.tensor([[0.9, 0.8, 0.1]])


@dataclasses.dataclass
class Kept:
    """A folder with a model's file and its manifest."""

    folder: Path

    def embedder(
        self, network: nn.Module, *, form: str = "torchscript", dynamic: bool = True, dimension: int = 16,
        side: int = 112, channels: str = "bgr", more: str = "",
    ) -> Path:  # fmt: skip
        """Save an embedder and its manifest."""
        example = torch.zeros(2, 3, side, side)
        if form == "torchscript":
            _script(network.eval(), example, self.folder / "net.pt")
        else:
            shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
            program = torch.export.export(network.eval(), (example,), dynamic_shapes=shapes)
            with (self.folder / "net.pt").open("wb") as file:
                torch.export.save(program, file)
        said = EMBEDDER.format(format=form, side=side, channels=channels, dimension=dimension, more=more)
        return self.manifest(said)

    def detector(self, network: nn.Module) -> Path:
        """Save a detector and its manifest."""
        _script(network.eval(), torch.zeros(2, 3, 96, 160), self.folder / "net.pt")
        return self.manifest(DETECTOR)

    def manifest(self, said: str) -> Path:
        """Write a manifest."""
        path = self.folder / "net.toml"
        path.write_text(said, encoding="utf-8")
        return path


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """An empty folder."""
    return Kept(tmp_path)


@pytest.mark.parametrize("form", ["torchscript", "export"])
def test_templates_are_those_of_the_users_network(kept: Kept, form: str) -> None:
    """Any batch, the manifest's scaling, length 1; the version is the file's digest."""
    network = Tiny()
    embedder = OwnEmbedder(kept.embedder(network, form=form))
    templates = embedder.embed(CROPS)
    with torch.inference_mode():
        raw = network((torch.from_numpy(CROPS).permute(0, 3, 1, 2).float() - 127.5) / 127.5)
    assert (embedder.dimension, len(embedder.version)) == (16, 12)
    assert templates.dtype == np.float32
    assert np.allclose(templates, nn.functional.normalize(raw).numpy(), atol=1e-5)
    assert embedder.embed(CROPS[:0]).shape == (0, 16)
    assert np.allclose(embedder.embed(np.tile(CROPS, (8, 1, 1, 1)))[35:], templates, atol=1e-5)


def test_channels_are_given_in_the_order_of_the_manifest(kept: Kept) -> None:
    """Crops are BGR; a network of RGB gets them the other way round."""
    network = Tiny()
    bgr = OwnEmbedder(kept.embedder(network)).embed(CROPS)
    rgb = OwnEmbedder(kept.embedder(network, channels="rgb")).embed(np.ascontiguousarray(CROPS[..., ::-1]))
    assert np.allclose(bgr, rgb, atol=1e-6)


def test_crops_are_scaled_to_the_networks_input(kept: Kept) -> None:
    """An input of another size is no error: the manifest says it."""
    assert OwnEmbedder(kept.embedder(Tiny(), form="export", side=160)).embed(CROPS).shape == (5, 16)


def test_another_dimension_than_the_manifests_is_refused_with_both(kept: Kept) -> None:
    """Found and expected, and which file."""
    with pytest.raises(ModelError, match=r"net\.pt returns float32\[1, 16\].*dimension 512.*float\[1, 512\]") as caught:
        OwnEmbedder(kept.embedder(Tiny(16), dimension=512))
    assert caught.value.exit_code == 7


class Filled(nn.Module):
    """The same number in every component of every template."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        """Return float[N, 16]."""
        return torch.zeros_like(x.mean((2, 3))[:, :1]).repeat(1, 16) + self.number


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.0, 1e-30, 1e30])
def test_templates_without_a_length_are_refused(kept: Kept, number: float) -> None:
    """They would match nobody, or everybody, and no message would say why."""
    with pytest.raises(ModelError, match=r"net\.pt returns for 8 of 8 random crops .* not finite or has no length"):
        OwnEmbedder(kept.embedder(Filled(number)))


def test_an_output_that_is_no_template_is_refused(kept: Kept) -> None:
    """A picture in, a picture out: the message has its shape."""
    with pytest.raises(ModelError, match=r"returns float32\[1, 3, 112, 112\]"):
        OwnEmbedder(kept.embedder(nn.Identity()))


def test_a_file_saved_for_one_batch_size_is_refused_with_what_to_do(kept: Kept) -> None:
    """An export without a dynamic batch takes no other."""
    with pytest.raises(ModelError, match=r"does not take float32\[1, 3, 112, 112\].*dynamic one or say `batch`"):
        OwnEmbedder(kept.embedder(Tiny(), form="export", dynamic=False))


def test_a_fixed_batch_that_the_manifest_says_is_padded_to(kept: Kept) -> None:
    """Five crops in passes of two give five templates, as any batch does."""
    network = Tiny()
    fixed = OwnEmbedder(kept.embedder(network, form="export", dynamic=False, more="batch = 2")).embed(CROPS)
    assert np.allclose(fixed, OwnEmbedder(kept.embedder(network, form="export")).embed(CROPS), atol=1e-6)


def test_an_input_that_the_file_does_not_take_is_refused_with_both_sizes(kept: Kept) -> None:
    """The manifest says 96, the file was saved for 112."""
    path = kept.embedder(Tiny(), form="export")
    path.write_text(path.read_text().replace("[112, 112]", "[96, 96]"))
    with pytest.raises(ModelError, match=r"float32\[1, 3, 96, 96\].*== 112"):
        OwnEmbedder(path)


@pytest.mark.parametrize("form", ["torchscript", "export"])
def test_a_file_that_is_none_of_torchs_is_refused(kept: Kept, form: str, caplog: pytest.LogCaptureFixture) -> None:
    """In one line, without torch's own traceback."""
    path = kept.embedder(Tiny(), form=form)
    (kept.folder / "net.pt").write_bytes(b"no model")
    caplog.clear()
    with pytest.raises(ModelError, match=rf"net\.pt is no {form} file"):
        OwnEmbedder(path)
    assert caplog.records == []


def test_a_missing_file_is_named(kept: Kept) -> None:
    """The manifest is there, what it names is not."""
    path = kept.embedder(Tiny())
    (kept.folder / "net.pt").unlink()
    with pytest.raises(ModelError, match=r"net\.pt cannot be read"):
        OwnEmbedder(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('file = "net.pt"\n', ""), "file"),
        (("dimension = 16\n", ""), "lacks the field `dimension`"),
        (("std = [127.5,", "std = [0.0,"), "std"),
        (("std = [127.5,", "std = [1e-320,"), "std"),
        (("mean =", "means ="), "means"),
        (('"embedder"', '"detector"'), "describes a detector"),
        (("input = [112, 112]", "input = [112]"), "input"),
        (('"bgr"', '"grey"'), "channels"),
        (("network", "network ="), "malformed"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(kept: Kept, change: tuple[str, str], said: str) -> None:
    """The message names the manifest and the field."""
    path = kept.embedder(Tiny())
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ModelError, match=rf"net\.toml.*{said}"):
        read_model_manifest(path, "embedder")


def test_a_manifest_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    """A path mistyped in the settings."""
    with pytest.raises(ModelError, match=r"gone\.toml \(vision\.detector_model\) cannot be read"):
        read_model_manifest(tmp_path / "gone.toml", "detector")


def test_faces_of_the_users_detector_come_in_pixels_of_the_picture(kept: Kept) -> None:
    """What is under a better box or scores low is dropped; a picture of twice the input doubles every number."""
    detector = OwnDetector(kept.detector(OneFace()))
    small, large = detector.detect([np.zeros((96, 160, 3), np.uint8), np.zeros((192, 320, 3), np.uint8)])
    assert small.boxes.tolist() == [[10, 10, 30, 40]]
    assert large.boxes.tolist() == [[20, 20, 60, 80]]
    assert np.allclose(large.landmarks, 2 * small.landmarks)
    assert np.allclose(small.scores, [0.9])
    assert {each.dtype for each in (small.boxes, small.landmarks, small.scores)} == {np.dtype(np.float32)}
    assert detector.detect([]) == []


def test_a_detector_of_another_output_is_refused(kept: Kept) -> None:
    """One tensor is no boxes, landmarks and scores."""
    with pytest.raises(ModelError, match=r"returns float32\[1, 3, 96, 160\].*boxes float\[1, K, 4\]"):
        OwnDetector(kept.detector(nn.Identity()))


def _script(network: nn.Module, example: Tensor, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is frozen, and the tracer tells of constants
        torch.jit.trace(network, example, check_trace=False).save(str(path))
