"""Training: targets, losses, and that an interrupted run ends like an uninterrupted one."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import numpy as np
import pytest
import torch
from torch.nn import functional

from pipeline.errors import ModelError
from pipeline.testing.detector import FakeDetector
from pipeline.testing.embedder import FakeEmbedder
from pipeline.vision.training import operating_point, patches
from pipeline.vision.training.checkpoints import load_checkpoint, save_checkpoint
from pipeline.vision.training.detector import (
    DetectorPlan,
    detector_loss,
    mirrored,
    overlap_with_truth,
    targets,
    train_detector,
)
from pipeline.vision.training.embedder import EmbedderPlan, contrastive_loss, margin_loss, train_embedder
from pipeline.vision.training.log import TrainingLog
from pipeline.vision.training.patches import VIEWS, Patches
from pipeline.vision.training.validation import tpir


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
    whole = train_embedder(plan, tmp_path / "a", checkpoint_every=1, validated=8, progress=_quiet)
    (tmp_path / "b").mkdir()
    for pictures in (tmp_path / "a").glob("*.npz"):
        (tmp_path / "b" / pictures.name).write_bytes(pictures.read_bytes())
    with pytest.raises(Interrupted):
        train_embedder(plan, tmp_path / "b", checkpoint_every=1, validated=8, progress=_interrupting(3))
    resumed = train_embedder(plan, tmp_path / "b", checkpoint_every=1, validated=8, progress=_quiet)
    for name, tensor in whole.items():
        assert torch.allclose(tensor.float(), resumed[name].float(), atol=2e-2), name
    logs = [list(csv.DictReader((tmp_path / run / "embedder.csv").open())) for run in ("a", "b")]
    assert [row["step"] for row in logs[0]] == [row["step"] for row in logs[1]] == ["1", "2", "3", "4"]
    assert all(0.0 <= float(row["validation_tpir"]) <= 1.0 for row in logs[1])


def test_detector_training_runs_and_resumes(tmp_path: Path) -> None:
    """A short training gives finite weights, and a finished one is neither rendered for nor trained again."""
    plan = DetectorPlan(streets=1, steps=2)
    stages: list[str] = []
    first = train_detector(plan, tmp_path, progress=_quiet)

    again = train_detector(plan, tmp_path, progress=lambda stage, *_: stages.append(stage))
    assert stages == []
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.isfinite(tensor.float()).all() for tensor in first.values())
    (row,) = csv.DictReader((tmp_path / "detector.csv").open())
    assert row["step"] == "2"
    assert float(row["loss"]) > 0.0
    assert float(row["validation_loss"]) > 0.0


def test_checkpoint_of_another_plan_is_refused(tmp_path: Path) -> None:
    """A folder is not silently shared by two plans."""
    save_checkpoint(tmp_path / "detector.pt", DetectorPlan(streets=1), {"step": 3})
    assert load_checkpoint(tmp_path / "detector.pt", DetectorPlan(streets=1)) == {"step": 3}
    with pytest.raises(ModelError, match="another training plan"):
        load_checkpoint(tmp_path / "detector.pt", DetectorPlan(streets=2))


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _torn(content: bytes) -> bytes:
    """With zeros where its middle was, as after a power cut."""
    third = len(content) // 3
    return content[:third] + bytes(third) + content[2 * third :]


DAMAGES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "empty": lambda _: b"", "cut": _cut, "torn": _torn, "of something else": lambda _: b"no checkpoint at all",
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_with_what_to_do(damage: str, tmp_path: Path) -> None:
    """Whatever torch makes of it."""
    path, plan = tmp_path / "detector.pt", DetectorPlan()
    save_checkpoint(path, plan, {"network": {"weight": torch.arange(1000.0)}})
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(ModelError, match=r"detector\.pt is damaged or no checkpoint: remove it to start again"):
        load_checkpoint(path, plan)


@pytest.mark.parametrize("saved", [{"state": {}}, {"plan": {}}, [1], {"plan": {}, "state": 3}])
def test_a_file_of_torchs_that_is_no_checkpoint_is_named_too(saved: object, tmp_path: Path) -> None:
    """Weights of another program, say."""
    torch.save(saved, tmp_path / "detector.pt")
    with pytest.raises(ModelError, match=r"detector\.pt is damaged or no checkpoint: remove it to start again"):
        load_checkpoint(tmp_path / "detector.pt", DetectorPlan())


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_pictures_are_made_anew(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And kept whole for the next time."""
    data = np.arange(2 * VIEWS * 3, dtype=np.uint8)
    ends, labels = np.arange(3, len(data) + 1, 3), np.repeat(np.arange(2), VIEWS)
    made = Patches(data, ends, np.zeros((2 * VIEWS, 5, 2), np.float32), labels)
    rendered: list[int] = []

    def render(people: Sequence[int], *_: object) -> Patches:
        rendered.append(len(people))
        return made

    monkeypatch.setattr(patches, "render_patches", render)
    path = tmp_path / "patches-0-2.npz"
    for content in (None, DAMAGES[damage]):
        if content is not None:
            path.write_bytes(content(path.read_bytes()))
        for _ in range(2):
            got = patches.load_or_render(path, (0, 1), 0, 1, lambda *_: None)
            assert np.array_equal(got.data, made.data)
            assert np.array_equal(got.ends, made.ends)
    assert rendered == [2, 2]


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


def test_a_mirrored_crop_has_its_face_and_its_landmarks_on_the_other_side() -> None:
    """What was drawn at the landmarks lies at the mirrored ones, and the left eye is left again."""
    box = np.array([[100.0, 60.0, 120.0, 90.0]], np.float32)
    points = np.array([[[105, 70], [115, 70], [110, 76], [106, 82], [114, 82]]], np.float32)
    crop = np.zeros((192, 320, 3), np.uint8)
    for number, (x, y) in enumerate(points[0].astype(int), 1):
        crop[y, x - 1 : x + 1] = number
    turned, boxes, landmarks = mirrored(crop, box, points)
    assert boxes.tolist() == [[200.0, 60.0, 220.0, 90.0]]
    assert landmarks[0, 0, 0] < landmarks[0, 1, 0]
    assert landmarks[0, 3, 0] < landmarks[0, 4, 0]
    assert [int(turned[int(y), int(x), 0]) for x, y in landmarks[0]] == [2, 1, 3, 5, 4]


def test_detector_loss_is_least_at_the_truth() -> None:
    """Right answers cost less than wrong ones."""
    target = torch.from_numpy(
        targets(np.array([[100, 60, 120, 90]], np.float32), np.full((1, 5, 2), 75, np.float32), np.array([True]))
    )[None]
    right = target.clone()
    right[:, 0] = torch.where(target[:, 0] == 1, 8.0, -8.0)
    assert detector_loss(right, target) < 0.01 < detector_loss(torch.zeros_like(target), target)


def test_overlap_of_a_box_with_its_truth_is_their_intersection_over_union() -> None:
    """The right box has 1, one moved by half its width a third, one twice as wide a half."""
    target = torch.from_numpy(
        targets(np.array([[100, 60, 120, 90]], np.float32), np.full((1, 5, 2), 75, np.float32), np.array([True]))
    )[None]
    cell = target[0, 0] == 1
    moved, wide = target.clone(), target.clone()
    moved[:, 1] += 10 / 8
    wide[:, 3] += float(np.log(2.0))
    overlaps = [overlap_with_truth(raw, target)[0][cell] for raw in (target, moved, wide)]
    assert [float(each[0]) for each in overlaps] == pytest.approx([1.0, 1 / 3, 1 / 2], abs=1e-5)


def test_cells_beyond_the_rim_of_a_face_are_background() -> None:
    """The rim of a face that must be found is narrow; that of one that need not is the whole face."""
    box, points = np.array([[80, 60, 160, 140]], np.float32), np.zeros((1, 5, 2), np.float32)
    row = targets(box, points, np.array([True]))[0, 100 // 8]
    # cells' centres are 4, 12, 20 … px; the face's is 120 and its width 80
    assert [row[(120 + int(part * 80)) // 8] for part in (0.0, 0.1, 0.28, 0.43)] == [1, 1, -1, 0]
    excused = targets(box, points, np.array([False]))[0, 100 // 8]
    assert [excused[(120 + int(part * 80)) // 8] for part in (0.0, 0.28, 0.43)] == [-1, -1, -1]


def test_a_cell_that_two_faces_share_is_that_of_the_later_nearer_one() -> None:
    """Nor does the rim of either hide the centre of the other."""
    far, near = [100, 60, 120, 84], [112, 60, 160, 120]
    target = targets(np.array([far, near], np.float32), np.zeros((2, 5, 2), np.float32), np.array([True, True]))
    assert target[0, 72 // 8, 108 // 8] == 1
    assert target[0, 90 // 8, 136 // 8] == 1
    hidden = targets(np.array([near, near], np.float32), np.zeros((2, 5, 2), np.float32), np.array([False, True]))
    assert hidden[0, 90 // 8, 136 // 8] == 1


def test_score_of_a_box_beside_its_face_is_to_be_low() -> None:
    """With an overlap of a third, saying a third costs less than being sure."""
    target = torch.from_numpy(
        targets(np.array([[100, 60, 120, 90]], np.float32), np.full((1, 5, 2), 75, np.float32), np.array([True]))
    )[None]
    beside = target.clone()
    beside[:, 1] += 10 / 8
    beside[:, 0] = -8.0
    modest, sure = beside.clone(), beside.clone()
    cell = target[:, 0] == 1
    modest[:, 0][cell], sure[:, 0][cell] = float(np.log(1 / 2)), float(np.log(99.0))
    assert detector_loss(modest, target) < detector_loss(sure, target)


def test_validation_tpir_counts_listed_faces_over_what_strangers_reach() -> None:
    """A face below the strangers' score, or nearer to another entry, is not identified."""
    listed = np.array([[[1, 0], [1, 0], [0.6, 0.8]], [[0, 1], [0, 1], [0.1, 0.9]]], np.float32)
    enrolled = [1.0, 0.0]
    assert tpir(listed, np.array([[enrolled, [0.5, 0.5], [0.5, 0.2]]], np.float32), 0.01) == 0.75
    assert tpir(listed, np.array([[enrolled, [0.95, 0.0], [0.5, 0.2]]], np.float32), 0.01) == 0.5


def test_training_log_of_a_resumed_run_goes_on_where_its_checkpoint_was(tmp_path: Path) -> None:
    """Rows that the interrupted run wrote after its checkpoint are dropped; a loss is the mean since the last row."""
    log = TrainingLog(tmp_path / "log.csv", "validation_tpir")
    log.begin(0)
    for step in (1, 2):
        log.add(float(step))
        log.add(float(step + 2))
        log.write(step, 0.1, 0.5)
    with (tmp_path / "log.csv").open("a") as file:
        file.write("3,0.5")  # a run that was killed
    log.begin(1)
    log.add(7.0)
    log.write(2, 0.1, 0.75)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [(row["step"], float(row["loss"]), float(row["validation_tpir"])) for row in rows] == [
        ("1", 2.0, 0.5), ("2", 7.0, 0.75)
    ]  # fmt: skip


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


def test_a_threshold_is_a_cosine_even_where_all_faces_look_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedder of a few steps puts everyone at one place, and the manifest has to be readable all the same."""
    alike = np.ones((50, 1), np.float32)
    monkeypatch.setattr(operating_point, "enrolment_crops", lambda _: alike)
    monkeypatch.setattr(operating_point, "enrol", lambda *_: alike[0])
    monkeypatch.setattr(operating_point, "watch", lambda *_: SimpleNamespace(templates=alike))
    chosen = operating_point.choose_operating_point(
        FakeDetector(), FakeEmbedder(), faces=100, command="lamppost train", progress=lambda *_: None
    )
    assert (chosen.threshold, chosen.faces) == (1.0, 100)
