"""The embedder's contract, and that the shipped one tells people apart that it never saw."""

import numpy as np
import pytest

from pipeline.errors import ModelError, WatchlistError
from pipeline.synthetic.faces import enrolment_views
from pipeline.synthetic.identities import identity
from pipeline.synthetic.seeds import Population, group
from pipeline.vision.embedder import CHUNK, TorchEmbedder
from pipeline.vision.enrolment import enrol
from pipeline.vision.networks import EmbedderNetwork
from pipeline.vision.weights import load_manifest, load_weights


@pytest.fixture(scope="module")
def embedder() -> TorchEmbedder:
    """The shipped embedder."""
    weights = load_weights("embedder")
    return TorchEmbedder(weights.tensors, weights.version)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Three pictures each of 30 people that are in no training."""
    return np.stack([enrolment_views(identity(seed), 3) for seed in group(Population.VALIDATION, 9, 30)])


def test_templates_are_normalised_float32(embedder: TorchEmbedder, pictures: np.ndarray) -> None:
    """128 components of length 1."""
    templates = embedder.embed(pictures[:4, 0])
    assert templates.shape == (4, embedder.dimension) == (4, 128)
    assert templates.dtype == np.float32
    assert np.allclose(np.linalg.norm(templates, axis=1), 1.0, atol=1e-5)


def test_no_crop_gives_no_template(embedder: TorchEmbedder) -> None:
    """Empty in, empty out."""
    assert embedder.embed(np.empty((0, 112, 112, 3), np.uint8)).shape == (0, 128)


def test_large_batches_equal_small_ones(embedder: TorchEmbedder, pictures: np.ndarray) -> None:
    """Chunking changes nothing beyond rounding."""
    crops = pictures.reshape(-1, 112, 112, 3)
    assert len(crops) > CHUNK
    one_by_one = np.concatenate([embedder.embed(crop[None]) for crop in crops[:8]])
    assert np.allclose(embedder.embed(crops)[:8], one_by_one, atol=1e-4)


def test_one_person_is_nearer_than_any_other(embedder: TorchEmbedder, pictures: np.ndarray) -> None:
    """Each person's third picture is nearest to their own template of the first two, and over the threshold."""
    gallery = np.stack([enrol(embedder, crops[:2]) for crops in pictures])
    scores = embedder.embed(pictures[:, 2]) @ gallery.T
    threshold = load_manifest().operating_point.threshold
    others = scores[~np.eye(len(scores), dtype=bool)]
    assert (scores.argmax(axis=1) == np.arange(len(scores))).mean() >= 0.95
    assert (np.diag(scores) >= threshold).mean() >= 0.9
    assert (others >= threshold).mean() <= 0.01


def test_bf16_changes_no_decision(embedder: TorchEmbedder, pictures: np.ndarray) -> None:
    """The faster precision moves scores by less than 0.02."""
    weights = load_weights("embedder")
    fast = TorchEmbedder(weights.tensors, weights.version, precision="bf16")
    crops = pictures[:8, 0]
    slow_scores, fast_scores = (e.embed(crops) @ e.embed(crops).T for e in (embedder, fast))
    assert np.abs(slow_scores - fast_scores).max() < 0.02


@pytest.mark.parametrize("crops", [np.zeros((1, 96, 96, 3), np.uint8), np.zeros((1, 112, 112, 3), np.float32)])
def test_crops_of_another_shape_or_type_are_refused(embedder: TorchEmbedder, crops: np.ndarray) -> None:
    """The message states what the embedder takes."""
    with pytest.raises(ModelError, match="uint8"):
        embedder.embed(crops)


def test_foreign_weights_are_a_model_error() -> None:
    """Weights of another network are refused."""
    with pytest.raises(ModelError, match="embedder"):
        TorchEmbedder(EmbedderNetwork(widths=(8, 8, 8)).state_dict(), "x")


def test_enrolment_is_a_normalised_mean(embedder: TorchEmbedder, pictures: np.ndarray) -> None:
    """A template of several pictures has length 1 and lies among theirs."""
    template = enrol(embedder, pictures[0])
    assert template.dtype == np.float32
    assert np.isclose(np.linalg.norm(template), 1.0, atol=1e-5)
    assert (embedder.embed(pictures[0]) @ template).min() > 0.5


def test_enrolment_without_pictures_is_refused(embedder: TorchEmbedder) -> None:
    """There is no template of nothing."""
    with pytest.raises(WatchlistError, match="at least one"):
        enrol(embedder, np.empty((0, 112, 112, 3), np.uint8))
