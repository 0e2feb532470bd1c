"""What a training leaves in its folder; the training itself is tested with the networks."""

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from pipeline.errors import ModelError, ResourceError, SettingsError
from pipeline.ports import Detector
from pipeline.runtime import training
from pipeline.runtime.settings import Settings, Vision
from pipeline.runtime.training import Plan
from pipeline.synthetic.seeds import SEEDS
from pipeline.vision.backbones import Backbone, backbone_network
from pipeline.vision.embedder import TorchEmbedder
from pipeline.vision.networks import DetectorNetwork, EmbedderNetwork
from pipeline.vision.training.distillation import DistillationPlan
from pipeline.vision.weights import NetworkName, OperatingPoint, load_manifest, load_weights

NETWORKS: Final[tuple[NetworkName, ...]] = ("detector", "embedder")
POINT = OperatingPoint(threshold=0.5, gallery=200, target_fpir=1 / 4000, faces=40_000, command="lamppost train")


def nothing(stage: str, done: int, total: int, loss: float) -> None:
    """Nobody watches."""


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks with their first weights, in no time."""
    monkeypatch.setattr(training, "train_detector", lambda *_, **__: DetectorNetwork().state_dict())
    monkeypatch.setattr(training, "train_embedder", lambda *_, backbone, **__: backbone_network(backbone).state_dict())

    def choose(*_: Any, progress: Any, **__: Any) -> OperatingPoint:
        progress(1, 1)
        return POINT

    monkeypatch.setattr(training, "choose_operating_point", choose)
    monkeypatch.setattr(training, "detector_ceilings", lambda *_: {"early.0": 2.5})
    monkeypatch.setattr(training, "embedder_ceilings", lambda *_: {"body.2.0": 1.5})


@pytest.mark.usefixtures("untrained")
def test_both_networks_can_be_loaded_from_the_folder_with_their_sums(tmp_path: Path) -> None:
    """What is written is what can be shipped."""
    seen: list[tuple[str, bool]] = []
    for network in ("detector", "embedder"):
        training.train(
            Settings(), Plan(network, tmp_path), lambda stage, _, __, loss: seen.append((stage, math.isnan(loss)))
        )
    assert load_manifest(tmp_path).operating_point == POINT
    assert load_weights("detector", tmp_path).tensors.keys() == DetectorNetwork().state_dict().keys()
    assert load_weights("embedder", tmp_path).tensors.keys() == EmbedderNetwork().state_dict().keys()
    assert ("threshold", True) in seen
    assert load_weights("detector", tmp_path).ceilings == {"early.0": 2.5}
    assert load_weights("embedder", tmp_path).ceilings == {"body.2.0": 1.5}


@pytest.mark.usefixtures("untrained")
def test_the_shipped_detector_keeps_its_ceilings_beside_a_new_embedder(tmp_path: Path) -> None:
    """It is the same file, so they are not looked for again."""
    training.train(Settings(), Plan("embedder", tmp_path), nothing)
    assert load_weights("detector", tmp_path).ceilings == load_weights("detector").ceilings


@pytest.mark.usefixtures("untrained")
def test_the_large_backbone_is_written_in_fp16_and_named(tmp_path: Path) -> None:
    """A loader has to know the network, and int8 is not there for it."""
    path = training.train(Settings(), Plan("embedder", tmp_path, backbone="resnet50"), nothing)
    weights = load_weights("embedder", tmp_path)
    assert path.stat().st_size <= 48_000_000
    assert (weights.backbone, weights.ceilings) == ("resnet50", {})
    assert weights.tensors["stem.0.weight"].dtype == torch.float16


@pytest.mark.usefixtures("untrained")
def test_a_detector_trained_again_is_the_one_that_the_manifest_names(tmp_path: Path) -> None:
    """Its sum would be wrong otherwise, and the weights would be called corrupt."""
    for network in ("detector", "embedder", "detector"):
        training.train(Settings(), Plan(network, tmp_path), nothing)
    assert load_weights("detector", tmp_path).version in load_manifest(tmp_path).detector.sha256


@pytest.mark.usefixtures("untrained")
def test_a_detector_alone_gets_a_threshold_of_its_own_with_the_shipped_embedder(tmp_path: Path) -> None:
    """A threshold belongs to both networks, so that of the shipped pair would be wrong for this one."""
    training.train(Settings(), Plan("detector", tmp_path), nothing)
    assert load_manifest(tmp_path).operating_point == POINT
    assert load_weights("detector", tmp_path).ceilings == {"early.0": 2.5}
    ours, shipped = load_weights("embedder", tmp_path), load_weights("embedder")
    assert (ours.version, ours.ceilings) == (shipped.version, shipped.ceilings)


@pytest.mark.usefixtures("untrained")
def test_an_embedder_that_was_trained_stays_when_its_detector_is_trained_again(tmp_path: Path) -> None:
    """Nothing that took an hour is replaced by what ships."""
    for network in ("embedder", "detector"):
        training.train(Settings(), Plan(network, tmp_path, backbone="compact"), nothing)
    assert load_weights("embedder", tmp_path).version != load_weights("embedder").version


def interrupted(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that is stopped while its threshold is chosen, minutes after the last step."""

    def stopped(*_: Any, **__: Any) -> OperatingPoint:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training, "choose_operating_point", stopped)
        with pytest.raises(KeyboardInterrupt):
            training.train(Settings(), plan, nothing)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("stopped", ["detector", "embedder"])
def test_a_training_stopped_at_its_threshold_leaves_the_folder_as_it_was(
    stopped: NetworkName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks that could be loaded still can, with the threshold that belongs to them."""
    training.train(Settings(), Plan("detector", tmp_path), nothing)
    before = {name: load_weights(name, tmp_path).version for name in NETWORKS}
    interrupted(Plan(stopped, tmp_path), monkeypatch)
    assert {name: load_weights(name, tmp_path).version for name in NETWORKS} == before


@pytest.mark.usefixtures("untrained")
def test_a_training_stopped_at_its_threshold_leaves_nothing_in_a_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a later training of the other network could take for its pair, or overwrite."""
    interrupted(Plan("embedder", tmp_path), monkeypatch)
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == []


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    "older", [None, "compact", "resnet50"], ids=["new folder", "over a compact one", "over a large one"]
)
def test_weights_without_their_manifest_are_taken_up_by_the_next_training(
    older: Backbone | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that was killed after it replaced the file and before it replaced the manifest."""
    if older is not None:
        training.train(Settings(), Plan("embedder", tmp_path, backbone=older), nothing)
    replace = Path.replace

    def killed(part: Path, target: Path) -> Path:
        if target.name == "manifest.json":
            raise KeyboardInterrupt
        return replace(part, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            training.train(Settings(), Plan("embedder", tmp_path), nothing)
    trained = (tmp_path / "embedder.safetensors").read_bytes()

    training.train(Settings(), Plan("detector", tmp_path), nothing)
    assert (tmp_path / "embedder.safetensors").read_bytes() == trained
    weights = load_weights("embedder", tmp_path)
    assert (weights.backbone, weights.ceilings) == ("compact", {"body.2.0": 1.5})


@pytest.mark.usefixtures("untrained")
def test_a_file_that_is_no_network_is_refused_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not overwritten, and nobody waits hours for the message."""

    def never(*_: Any, **__: Any) -> dict[str, Any]:
        raise AssertionError("nothing was to be trained")

    monkeypatch.setattr(training, "train_detector", never)
    stray = tmp_path / "embedder.safetensors"
    stray.write_bytes(b"notes")
    with pytest.raises(ModelError, match=r"embedder\.safetensors is no safetensors file .*remove it"):
        training.train(Settings(), Plan("detector", tmp_path), nothing)
    stray.write_bytes(save({"weight": torch.zeros(3)}))
    with pytest.raises(ModelError, match=r"embedder\.safetensors holds no embedder .*remove it"):
        training.train(Settings(), Plan("detector", tmp_path), nothing)
    stray.unlink()
    (tmp_path / "manifest.json").write_text('{"detector": 1}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"manifest\.json cannot be used .*remove it"):
        training.train(Settings(), Plan("detector", tmp_path), nothing)


@pytest.mark.usefixtures("untrained")
def test_a_threshold_is_chosen_on_the_large_network_as_its_file_rounds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half precision moves scores; what a run will load is what the threshold belongs to."""
    crops = np.random.default_rng(0).integers(0, 255, (2, 112, 112, 3), dtype=np.uint8)
    seen: list[tuple[str, NDArray[np.float32]]] = []

    def choose(_: Detector, embedder: TorchEmbedder, **__: Any) -> OperatingPoint:
        seen.append((embedder.version, embedder.embed(crops)))
        return POINT

    monkeypatch.setattr(training, "choose_operating_point", choose)
    training.train(Settings(), Plan("embedder", tmp_path, backbone="resnet50"), nothing)
    written = load_weights("embedder", tmp_path)
    ((version, templates),) = seen
    assert version == written.version
    loaded = TorchEmbedder(written.tensors, written.version, precision="bf16", backbone="resnet50")
    assert np.array_equal(templates, loaded.embed(crops))


@pytest.mark.usefixtures("untrained")
def test_changed_weights_are_called_corrupt(tmp_path: Path) -> None:
    """The sums are checked against the bytes."""
    for network in ("detector", "embedder"):
        training.train(Settings(), Plan(network, tmp_path), nothing)
    path = tmp_path / "embedder.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="corrupt"):
        load_weights("embedder", tmp_path)


@pytest.mark.parametrize("folder", ["taken", "taken/weights"])
def test_a_folder_that_cannot_be_written_is_one_clear_error(folder: str, tmp_path: Path) -> None:
    """The message names the folder and the option, before anything is rendered."""
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(ResourceError, match=rf"{folder} cannot be written \(.+\); choose another with --out"):
        training.train(Settings(), Plan("detector", tmp_path / folder, steps=1), nothing)


@pytest.mark.usefixtures("untrained")
def test_a_distilled_embedder_has_the_shipped_one_for_a_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest tells how to make it again."""
    taught: list[tuple[str, dict[str, torch.Tensor]]] = []

    def distil(plan: DistillationPlan, teacher: nn.Module, *_: Any, backbone: Backbone, **__: Any) -> dict[str, Any]:
        taught.append((plan.teacher, teacher.state_dict()))
        return backbone_network(backbone).state_dict()

    monkeypatch.setattr(training, "distil_embedder", distil)
    commands: list[str] = []

    def choose(*_: Any, command: str, **__: Any) -> OperatingPoint:
        commands.append(command)
        return POINT

    monkeypatch.setattr(training, "choose_operating_point", choose)
    plan = Plan("embedder", tmp_path, seed=3, backbone="resnet50", distil=True)
    training.train(Settings(), plan, nothing)
    shipped = load_weights("embedder")
    version, tensors = taught[0]
    assert version == shipped.version
    assert all(torch.equal(tensors[name], each) for name, each in shipped.tensors.items())
    training.train(Settings(), plan._replace(steps=7), nothing)
    command = "lamppost train embedder --backbone resnet50 --distil --seed 3"
    assert commands == [command, f"{command} --steps 7"]


@pytest.mark.parametrize("seed", [-1, SEEDS, 10**14, 2**64])
def test_a_seed_without_people_of_its_own_is_refused(seed: int, tmp_path: Path) -> None:
    """Validation, threshold and ceilings of one would be another's."""
    with pytest.raises(SettingsError, match=rf"^--seed is {seed}: use 0 to {SEEDS - 1}$"):
        training.train(Settings(), Plan("detector", tmp_path, seed=seed, steps=1), nothing)


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_said_before_anything_is_rendered(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty thousand people would be rendered for nothing."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SettingsError, match=rf"vision\.device is {device}, but torch sees no GPU here"):
        training.train(Settings(vision=Vision(device=device)), Plan("embedder", tmp_path, steps=1), nothing)
    assert list(tmp_path.iterdir()) == []


def test_a_detector_is_not_distilled(tmp_path: Path) -> None:
    """There is no larger one."""
    with pytest.raises(SettingsError, match="--distil is for the embedder"):
        training.train(Settings(), Plan("detector", tmp_path, distil=True), nothing)


def test_the_compact_embedder_is_not_distilled(tmp_path: Path) -> None:
    """Its network takes crops of the full size alone; said before twenty thousand people are rendered."""
    with pytest.raises(SettingsError, match=r"^--distil teaches no compact network: .* --backbone resnet50$"):
        training.train(Settings(), Plan("embedder", tmp_path, distil=True), nothing)
