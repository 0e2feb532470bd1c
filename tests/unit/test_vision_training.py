"""Training: targets, losses, and that an interrupted run ends like an uninterrupted one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from pipeline.errors import ModelError
from pipeline.vision.training.checkpoints import load_checkpoint, save_checkpoint
from pipeline.vision.training.detector import DetectorPlan, detector_loss, targets, train_detector
from pipeline.vision.training.embedder import EmbedderPlan, contrastive_loss, margin_loss, train_embedder


class Interrupted(Exception):
    """Stands for a user's Ctrl-C."""


def _quiet(stage: str, done: int, total: int, loss: float) -> None:
    """Show nothing."""


def _interrupting(at: int):  # type: ignore[no-untyped-def]  # a nested function of four arguments
    """Return a progress callback that stops the training after a step."""

    def progress(stage: str, done: int, total: int, loss: float) -> None:
        if stage == "train" and done == at:
            raise Interrupted

    return progress


def test_interrupted_embedder_training_resumes(tmp_path: Path) -> None:
    """Stopping after a checkpoint and calling again gives the weights of a run without a stop."""
    plan = EmbedderPlan(people=64, steps=4, contrastive_share=0.5, margin_from_share=0.75)
    whole = train_embedder(plan, tmp_path / "a", checkpoint_every=1, progress=_quiet)
    (tmp_path / "b").mkdir()
    for patches in (tmp_path / "a").glob("*.npz"):
        (tmp_path / "b" / patches.name).write_bytes(patches.read_bytes())
    with pytest.raises(Interrupted):
        train_embedder(plan, tmp_path / "b", checkpoint_every=1, progress=_interrupting(3))
    resumed = train_embedder(plan, tmp_path / "b", checkpoint_every=1, progress=_quiet)
    for name, tensor in whole.items():
        assert torch.allclose(tensor.float(), resumed[name].float(), atol=2e-2), name


def test_detector_training_runs_and_resumes(tmp_path: Path) -> None:
    """A short training gives finite weights, and a finished one is not trained again."""
    plan = DetectorPlan(streets=1, steps=2)
    steps: list[int] = []
    first = train_detector(plan, tmp_path, progress=_quiet)

    def count(stage: str, done: int, total: int, loss: float) -> None:
        if stage == "train":
            steps.append(done)

    again = train_detector(plan, tmp_path, progress=count)
    assert steps == []
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.isfinite(tensor.float()).all() for tensor in first.values())


def test_checkpoint_of_another_plan_is_refused(tmp_path: Path) -> None:
    """A folder is not silently shared by two plans."""
    save_checkpoint(tmp_path / "detector.pt", DetectorPlan(streets=1), {"step": 3})
    assert load_checkpoint(tmp_path / "detector.pt", DetectorPlan(streets=1)) == {"step": 3}
    with pytest.raises(ModelError, match="another training plan"):
        load_checkpoint(tmp_path / "detector.pt", DetectorPlan(streets=2))


def test_targets_say_where_the_face_is() -> None:
    """Decoding the target of a cell gives back the box and the landmarks."""
    box = np.array([[100.0, 60.0, 120.0, 90.0]], np.float32)
    points = np.array([[[105, 70], [115, 70], [110, 76], [106, 82], [114, 82]]], np.float32)
    target = targets(box, points, np.array([True]))
    row, column = np.argwhere(target[0] == 1)[0]
    x, y = column * 8 + 4, row * 8 + 4
    cell = target[:, row, column]
    assert np.allclose([x + cell[1] * 8, y + cell[2] * 8], [110, 75], atol=1e-4)
    assert np.allclose(np.exp(cell[3:5]) * 16, [20, 30], atol=1e-3)
    assert np.allclose(cell[5:].reshape(5, 2) * 16 + [x, y], points[0], atol=1e-3)


def test_unwanted_faces_are_neither_target_nor_background() -> None:
    """Where a face need not be found no loss is taken."""
    target = targets(
        np.array([[100.0, 60.0, 120.0, 90.0]], np.float32), np.zeros((1, 5, 2), np.float32), np.array([False])
    )
    assert (target[0] == 1).sum() == 0
    assert (target[0] == -1).sum() > 0


def test_detector_loss_is_least_at_the_truth() -> None:
    """Right answers cost less than wrong ones."""
    target = torch.from_numpy(
        targets(np.array([[100, 60, 120, 90]], np.float32), np.full((1, 5, 2), 75, np.float32), np.array([True]))
    )[None]
    right = target.clone()
    right[:, 0] = torch.where(target[:, 0] == 1, 8.0, -8.0)
    assert detector_loss(right, target) < 0.01 < detector_loss(torch.zeros_like(target), target)


def test_contrastive_loss_prefers_pairs_together() -> None:
    """Two people apart cost less than two people mixed."""
    apart = functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]), dim=1)
    labels = torch.tensor([0, 0, 1, 1])
    assert contrastive_loss(apart, labels, 0.1) < contrastive_loss(apart, labels[[0, 2, 1, 3]], 0.1)


def test_margin_makes_the_loss_harder() -> None:
    """The same embeddings cost more with a margin."""
    embeddings = functional.normalize(torch.eye(3), dim=1)
    labels = torch.arange(3)
    plain, margin = (margin_loss(embeddings, torch.eye(3), labels, m, 8.0) for m in (0.0, 0.3))
    assert margin > plain
