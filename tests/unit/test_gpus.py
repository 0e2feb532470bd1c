"""How GPUs are counted and shared: the arithmetic and what Ray is asked for; no GPU is needed here."""

import pytest
import torch

from pipeline.errors import SettingsError
from pipeline.runtime import services
from pipeline.runtime.composition import device_of, run_plan
from pipeline.runtime.gpus import (
    SEARCH_SHARE,
    VISIBLE,
    gpu_share,
    local_gpus,
    machine_gpus,
    search_gpu_share,
    torch_device,
)
from pipeline.runtime.services import services as started
from pipeline.runtime.settings import Kafka, Matching, Run, Settings, Vision
from pipeline.runtime.shard_factory import shard_options


@pytest.fixture(autouse=True)
def all_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine shows its processes must not decide a test."""
    monkeypatch.delenv(VISIBLE, raising=False)


def share(device: str, workers: int, gpus: int, chosen: float | None = None, grows: bool = False) -> float:
    """The share of each worker."""
    return gpu_share(device, chosen, workers, gpus, grows=grows)


def options(device: str, gpus: int) -> dict[str, object]:
    """What Ray is asked for a worker."""
    settings = Settings(kafka=Kafka(brokers="kafka:9092"), vision=Vision(device=device))
    return run_plan(settings, "run", gpus=gpus).worker_options


def test_a_cpu_asks_for_no_gpu_and_counts_none() -> None:
    """Torch is not even loaded for it."""

    def never() -> int:
        raise AssertionError

    assert local_gpus("cpu", never) == (0, {})
    assert share("cpu", 2, 8) == 0
    assert options("cpu", 8) == {}


def test_auto_asks_for_a_gpu_only_where_there_is_one() -> None:
    """On a machine without one a worker that asked would never start."""
    assert local_gpus("auto", lambda: 0) == (0, {})
    assert local_gpus("auto", lambda: 4) == (4, {})
    assert options("auto", 0) == {}
    assert options("auto", 1) == {"num_gpus": 0.5}


@pytest.mark.parametrize(("workers", "gpus"), [(1, 1), (2, 1), (3, 1), (2, 4), (7, 2), (1000, 3), (9, 4)])
def test_workers_are_spread_evenly_and_all_fit(workers: int, gpus: int) -> None:
    """Ray counts ten-thousandths and puts a worker on one GPU alone: as many fit on each as the fullest gets."""
    each = round(share("cuda", workers, gpus) * 10_000)
    assert 0 < each <= 10_000
    assert 10_000 // each * gpus >= workers
    assert 10_000 // (each + 1) * gpus < workers or each == 10_000


def test_a_chosen_share_is_taken_if_the_workers_fit() -> None:
    """Else they would wait for ever, so both settings are named; a cluster that grows may be given more GPUs."""
    assert share("cuda", 4, 1, chosen=0.25) == 0.25
    with pytest.raises(SettingsError, match=r"vision\.gpu_share=0\.3 leaves room for 3 workers on 1 GPU.*run\.workers"):
        share("cuda", 4, 1, chosen=0.3)
    assert share("cuda", 4, 1, chosen=0.3, grows=True) == 0.3
    assert share("cuda", 4, 0, chosen=0.3, grows=True) == 0.3


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_nobody_has_is_said_at_once(device: str) -> None:
    """Instead of workers that are never placed."""
    with pytest.raises(SettingsError, match=rf"vision\.device is {device}, but torch sees no GPU here"):
        local_gpus(device, lambda: 0)
    with pytest.raises(SettingsError, match=rf"vision\.device is {device}, but Ray has no GPU"):
        share(device, 1, 0)


@pytest.mark.parametrize(("device", "gpus", "worker"), [("auto", 1, 0.49), ("cpu", 1, 0.0), ("cuda", 4, 0.98)])
def test_shards_that_search_on_a_gpu_have_room_beside_the_workers(device: str, gpus: int, worker: float) -> None:
    """Ray shows a GPU only to who asks for one, and workers would take all there is.

    Whatever GPU it places the shards on, and it tends to place all on one, a worker that is there too has room.
    """
    matching = Matching(index="gpu-flat", shards=2)
    settings = Settings(kafka=Kafka(brokers="kafka:9092"), vision=Vision(device=device), matching=matching)
    plan = run_plan(settings, "run", gpus=gpus)
    assert plan.shard_options == shard_options(0.01)
    assert plan.shard_options["num_gpus"] == 0.01
    assert plan.worker_options == ({"num_gpus": worker} if worker else {})
    plain = run_plan(Settings(kafka=Kafka(brokers="kafka:9092")), "run", gpus=gpus)
    assert plain.shard_options == shard_options()
    assert "num_gpus" not in plain.shard_options


def test_shards_without_a_gpu_to_search_on_are_never_started() -> None:
    """Neither where there is none nor where there are too few, and the line names the setting."""
    with pytest.raises(
        SettingsError, match=r"^matching\.index is cagra, but Ray has no GPU; set it to flat, hnsw or ivf"
    ):
        search_gpu_share("cagra", True, 2, 0, grows=False)
    with pytest.raises(SettingsError, match=r"60 replicas of shards are too many: .* one GPU.*matching\.replicas"):
        search_gpu_share("cagra", True, 60, 2, grows=False)
    assert search_gpu_share("cagra", True, 50, 0, grows=True) == SEARCH_SHARE
    assert search_gpu_share("hnsw", False, 60, 0, grows=False) == 0
    with pytest.raises(SettingsError, match=r"vision\.gpu_share=0\.5 leaves room for 1 workers"):
        gpu_share("cuda", 0.5, 2, 1, grows=False, searching=2)


def test_a_gpu_that_is_named_is_the_only_one_that_ray_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number counts among those that this process may see."""
    assert local_gpus("cuda:1", lambda: 2) == (1, {VISIBLE: "1"})
    monkeypatch.setenv(VISIBLE, "5,7")
    assert local_gpus("cuda:1", lambda: 2) == (1, {VISIBLE: "7"})
    with pytest.raises(SettingsError, match=r"cuda:2, but torch sees 2 GPU\(s\) here"):
        local_gpus("cuda:2", lambda: 2)


@pytest.mark.parametrize(("device", "gpus", "used"), [
    ("auto", 2, "cuda"), ("auto", 0, "cpu"), ("cpu", 2, "cpu"), ("cuda", 2, "cuda"), ("cuda:1", 2, "cuda:1"),
])  # fmt: skip
def test_a_command_that_computes_itself_takes_the_gpu_that_is_named(device: str, gpus: int, used: str) -> None:
    """By the machine's own numbers: no Ray shows it one alone."""
    assert torch_device(device, lambda: gpus) == used
    with pytest.raises(SettingsError, match=r"cuda:2, but torch sees 2 GPU\(s\) here"):
        torch_device("cuda:2", lambda: 2)


@pytest.mark.parametrize(("device", "there", "used"), [
    ("cuda:1", True, "cuda:0"), ("cuda", True, "cuda:0"), ("auto", True, "cuda:0"), ("auto", False, "cpu"),
    ("cpu", True, "cpu"),
])  # fmt: skip
def test_a_worker_takes_the_one_gpu_that_ray_shows_it(
    device: str, there: bool, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is number 0 in its process, whatever the machine calls it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert device_of(Settings(vision=Vision(device=device))) == used


def test_a_worker_without_the_gpu_that_is_set_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a node that has none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SettingsError, match="torch sees no GPU here"):
        device_of(Settings(vision=Vision(device="cuda")))


def test_a_machine_without_a_driver_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """And torch, which takes seconds and much memory to load, is not asked."""
    monkeypatch.setattr("pipeline.runtime.gpus.DRIVERS", ())
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert machine_gpus() == 0


def test_the_local_ray_is_started_with_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else a worker that asks for one is never placed."""
    wanted: dict[str, object] = {}

    class FakeRay:
        def __init__(self, **options: object) -> None:
            self.environment: dict[str, str] = {}
            wanted.update(options)

        def start(self) -> None:
            """Start nothing."""

        stop = start

    monkeypatch.setattr(services, "LocalRay", FakeRay)
    monkeypatch.setattr(services, "local_gpus", lambda device: local_gpus(device, lambda: 2))
    settings = Settings(kafka=Kafka(brokers="kafka:9092"), vision=Vision(device="cuda:1"), run=Run(workers=2))
    with started(settings, lambda _: None):
        assert wanted["gpus"] == 1
        assert wanted["environment"] == services.THREADS_OF_ACTORS | services.MEMORY_OF_ACTORS | {VISIBLE: "1"}
