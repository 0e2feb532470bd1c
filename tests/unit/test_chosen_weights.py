"""Networks that `lamppost train` wrote in place of the shipped ones: `vision.weights`, and `evaluate --weights`."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.torch import save

from pipeline.errors import ModelError
from pipeline.runtime import galleries
from pipeline.runtime.composition import run_plan, shipped_looking
from pipeline.runtime.enrolment_cache import model_key
from pipeline.runtime.evaluation_workers import EnrolmentTask, enrol_people
from pipeline.runtime.settings import Settings, Vision
from pipeline.vision.shipped import shipped_folder
from pipeline.vision.weights import load_manifest, load_weights


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder as training leaves it: an embedder of other weights, and a threshold of its own."""
    for file in shipped_folder().iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    shipped = load_manifest().embedder
    tensors = {name: each.clone() for name, each in load_weights("embedder").tensors.items()}
    (name,) = [name for name in tensors if name == min(each for each in tensors if each.endswith("weight"))]
    tensors[name] *= -1
    content = save(tensors)
    (tmp_path / shipped.file).write_bytes(content)
    manifest = (tmp_path / "manifest.json").read_text()
    manifest = manifest.replace(shipped.sha256, hashlib.sha256(content).hexdigest())
    threshold = load_manifest().operating_point.threshold
    (tmp_path / "manifest.json").write_text(manifest.replace(str(threshold), "0.125"))
    return tmp_path


def chosen(folder: Path) -> Settings:
    """Settings that name it."""
    return Settings(vision=Vision(weights=folder, device="cpu", precision="fp32"))


def test_a_worker_looks_with_the_networks_and_the_threshold_of_the_folder(trained: Path) -> None:
    """The threshold of the shipped pair means nothing for another."""
    looking = shipped_looking(chosen(trained))
    assert looking.threshold == 0.125
    assert looking.embedder.version == load_weights("embedder", trained).version != load_weights("embedder").version


def test_a_folder_without_networks_is_named_with_the_setting(tmp_path: Path) -> None:
    """Reinstalling would not help."""
    with pytest.raises(ModelError, match=rf"{tmp_path}.*set vision\.weights to a folder that `lamppost train` wrote"):
        shipped_looking(chosen(tmp_path))


def test_a_demo_without_the_folder_ends_before_anything_starts(tmp_path: Path) -> None:
    """It looks for templates in the cache first, whose name comes of the folder."""
    with pytest.raises(ModelError, match=r"manifest\.json cannot be read .*set vision\.weights to a folder"):
        model_key(None, tmp_path)


def test_actors_get_an_absolute_path(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They work in another folder than the command."""
    monkeypatch.chdir(trained.parent)
    plan = run_plan(chosen(Path(trained.name)), "run")
    assert plan.make_worker.settings.vision.weights == trained


def test_a_cached_watchlist_is_not_taken_for_that_of_other_weights(trained: Path) -> None:
    """Its templates would not compare."""
    key = model_key(None, trained)
    assert key != model_key(None) == ""
    manifest = trained / "manifest.json"
    manifest.write_text(manifest.read_text().replace("0.125", "0.25"))
    assert model_key(None, trained) != key


def test_an_evaluation_enrols_and_caches_by_the_weights_that_it_is_given(trained: Path) -> None:
    """Rates of one network on the gallery of another would be those of neither."""
    assert galleries._digest(trained) != galleries._digest(None)
    ours, shipped = (enrol_people(EnrolmentTask((7,), 1, weights)) for weights in (trained, None))
    assert float(ours[0] @ shipped[0]) < 0.9


def test_the_large_shipped_embedder_looks_with_its_own_threshold() -> None:
    """`vision.backbone` takes both networks and the threshold that belongs to them."""
    settings = Settings(vision=Vision(backbone="resnet50", device="cpu", precision="bf16"))
    looking = shipped_looking(settings)
    folder = shipped_folder("resnet50")
    assert looking.embedder.version == load_weights("embedder", folder).version != load_weights("embedder").version
    assert looking.threshold == load_manifest(folder).operating_point.threshold
    templates = looking.embedder.embed(np.zeros((2, 112, 112, 3), np.uint8))
    assert templates.shape == (2, 128)


def test_a_shipped_embedder_beside_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    """Either would be left out in silence."""
    with pytest.raises(ValidationError, match=r"leave one of vision\.backbone and vision\.weights out"):
        Vision(backbone="resnet50", weights=tmp_path)
