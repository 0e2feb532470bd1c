"""The large backbone: its shape, its file, and that it trains."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from pipeline.errors import ModelError
from pipeline.vision.backbones import backbone_network
from pipeline.vision.embedder import TorchEmbedder
from pipeline.vision.resnet50 import ResNet50
from pipeline.vision.training.distillation import DistillationPlan, Stage, distil_embedder
from pipeline.vision.training.embedder import EmbedderPlan, train_embedder
from pipeline.vision.weights import load_weights

LARGEST_FILE = 48_000_000


@pytest.fixture(scope="module")
def half() -> bytes:
    """First weights in fp16, as training would write them."""
    torch.manual_seed(0)
    state = backbone_network("resnet50").state_dict()
    return save({name: each.half() if each.is_floating_point() else each for name, each in state.items()})


def test_weights_of_fp16_take_at_most_48_mb(half: bytes) -> None:
    """What is shipped has a limit."""
    assert 40_000_000 < len(half) <= LARGEST_FILE


def test_templates_of_fp16_weights_have_128_components(half: bytes) -> None:
    """The same crops and templates as the compact network's."""
    embedder = TorchEmbedder(load(half), "x", backbone="resnet50")
    templates = embedder.embed(np.random.default_rng(0).integers(0, 255, (2, 112, 112, 3), dtype=np.uint8))
    assert templates.shape == (2, embedder.dimension) == (2, 128)
    assert np.allclose(np.linalg.norm(templates, axis=1), 1.0, atol=1e-5)


def test_no_pooling_before_the_last_stage_leaves_7x7_cells() -> None:
    """Stride 2 at the first convolution and at three stages."""
    network = ResNet50(width=8).eval()
    cells = network.body(network.stem(torch.zeros(1, 3, 112, 112)))
    assert cells.shape == (1, 256, 7, 7)


def test_a_small_step_trains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The loop of the compact network, with a narrow one of this kind, changes its weights and keeps a checkpoint."""
    torch.manual_seed(0)
    narrow = ResNet50(width=8)
    before = narrow.stem[0].weight.detach().clone()
    monkeypatch.setattr("pipeline.vision.training.embedder.backbone_network", lambda _: narrow)
    losses: list[float] = []
    after = train_embedder(
        EmbedderPlan(people=64, steps=1),
        tmp_path,
        backbone="resnet50",
        validated=8,
        progress=lambda stage, _, __, loss: losses.append(loss) if stage == "train" else None,
    )
    assert np.isfinite(losses).all()
    assert not torch.equal(before, after["stem.0.weight"])
    assert (tmp_path / "embedder-resnet50.pt").exists()


def test_a_distilled_network_comes_nearer_to_its_teacher_and_resumes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a narrow one of this kind, first on crops of half the size; a finished training is not done again."""
    monkeypatch.setattr("pipeline.vision.training.distillation.backbone_network", lambda _: ResNet50(width=8))
    weights = load_weights("embedder")
    teacher = backbone_network("compact")
    teacher.load_state_dict(weights.tensors)
    plan = DistillationPlan(weights.version, people=128, stages=(Stage(2, 3, 3e-3), Stage(1, 3, 3e-3)), warm_up=1)
    losses: list[float] = []

    def progress(stage: str, done: int, total: int, loss: float) -> None:
        if stage == "train":
            losses.append(loss)
            if len(losses) == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil_embedder(plan, teacher, tmp_path, checkpoint_every=3, validated=8, progress=progress)
    first = distil_embedder(plan, teacher, tmp_path, checkpoint_every=3, validated=8, progress=progress)
    assert len(losses) == 4 + 3, "it went on from its checkpoint"
    assert losses[-1] < losses[0]
    again = distil_embedder(plan, teacher, tmp_path, checkpoint_every=3, validated=8, progress=progress)
    assert len(losses) == 7
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_weights_of_the_other_backbone_are_refused(half: bytes) -> None:
    """Each network takes its own alone."""
    with pytest.raises(ModelError, match="embedder's weights"):
        TorchEmbedder(load(half), "x")
    with pytest.raises(ModelError, match="embedder's weights"):
        TorchEmbedder(load_weights("embedder").tensors, "x", backbone="resnet50")


def test_a_shortened_distillation_goes_through_the_same_stages() -> None:
    """`--steps` tries the whole of it; the rate falls from stage to stage, to nothing."""
    plan = DistillationPlan("x")
    short = plan.shortened(19)
    assert short.steps == 19
    seen = [short.at(step) for step in range(19)]
    assert [reduction for reduction, _ in seen] == [4] * 15 + [2] * 3 + [1]
    assert seen[15][1] == pytest.approx(plan.at(1_500)[1])
    assert all(later < sooner for (_, sooner), (_, later) in pairwise(seen[1:]))
    assert plan.shortened(1).steps == 1
