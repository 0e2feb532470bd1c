"""Kinds of index that need a GPU: what is said where they cannot be had, and what they take of its memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.errors import SettingsError
from pipeline.matching import gpu
from pipeline.matching.block import Block
from pipeline.matching.gpu import SCRATCH_BYTES, build_gpu_flat
from pipeline.matching.selection import Part, Templates
from pipeline.records import WatchlistEntry
from pipeline.runtime import doctor
from pipeline.runtime.doctor_checks import Status
from pipeline.runtime.settings import Kafka, Matching, Settings
from pipeline.runtime.shard_factory import index_of

D = 32


@pytest.fixture
def set_faiss(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Plays a FAISS with some GPU parts."""

    def play(**parts: object) -> None:
        module = type("faiss", (), {name: staticmethod(part) for name, part in parts.items()})
        monkeypatch.setattr(gpu, "faiss", lambda: module)

    return play


def searching(kind: str) -> Settings:
    """Settings with this index."""
    return Settings(kafka=Kafka(brokers="kafka:9092"), matching=Matching(index=kind))


@pytest.mark.parametrize(("kind", "source"), [("gpu-flat", "the extra gpu"), ("cagra", ".* cuVS, such as .*-cuvs")])
def test_a_gpu_index_without_a_gpu_says_what_to_install_and_to_set(
    kind: str, source: str, set_faiss: Callable[..., None]
) -> None:
    """In one line that names the setting: FAISS for CPUs, FAISS without that index, and a machine without a GPU."""
    fix = "otherwise set it to flat, hnsw or ivf-pq-fastscan$"
    set_faiss()
    with pytest.raises(SettingsError, match=rf"^matching\.index is {kind}, .* on no GPU; install {source}; {fix}"):
        index_of(searching(kind), D)
    set_faiss(StandardGpuResources=object)
    with pytest.raises(SettingsError, match=rf"is {kind}, .* built without GpuIndex\w+; install {source}; {fix}"):
        index_of(searching(kind), D)
    set_faiss(StandardGpuResources=object, GpuIndexFlatIP=object, GpuIndexCagra=object, get_num_gpus=lambda: 0)
    with pytest.raises(SettingsError, match=rf"is {kind}, but FAISS sees no GPU here; {fix}"):
        index_of(searching(kind), D)


@pytest.mark.parametrize(
    ("names", "said"),
    [([], "the FAISS that is installed searches"), (["faiss-gpu"], "the FAISS that is installed (faiss-gpu) searches")],
)
def test_a_faiss_that_pip_did_not_install_has_no_name(
    names: list[str], said: str, set_faiss: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As conda's."""
    set_faiss()
    monkeypatch.setattr(gpu, "installed", lambda: names)
    assert gpu.lacking("GpuIndexCagra").startswith(said)


def test_the_doctor_finds_an_index_that_cannot_be_had(set_faiss: Callable[..., None]) -> None:
    """As the shard would; of an index that needs no GPU there is nothing to say."""
    settings = searching("gpu-flat")
    set_faiss()
    (finding,) = dict(doctor._machine(settings))["index"]()
    assert finding.status == Status.FAIL
    assert "matching.index is gpu-flat, but the FAISS" in finding.found
    set_faiss(StandardGpuResources=object, GpuIndexFlatIP=object, get_num_gpus=lambda: 1)
    assert [each.status for each in doctor._index(settings)] == [Status.OK]
    assert doctor._index(searching("hnsw")) == []


def test_an_index_on_a_gpu_sets_little_of_its_memory_aside(set_faiss: Callable[..., None]) -> None:
    """Two are there while one is built, beside a detector and an embedder."""
    made: list[Any] = []

    class Resources:
        scratch = 1536 * 2**20

        def __init__(self) -> None:
            made.append(self)

        def setTempMemory(self, size: int) -> None:  # noqa: N802  # FAISS's name
            self.scratch = size

    class Index:
        def __init__(self, resources: Resources, dimension: int) -> None:
            assert (resources, dimension) == (made[-1], D)
            self.rows = 0

        def add(self, rows: Any) -> None:
            self.rows += len(rows)

        def search(self, probes: Any, count: int) -> tuple[None, Any]:
            return None, np.full((len(probes), count), self.rows)

    set_faiss(StandardGpuResources=Resources, GpuIndexFlatIP=Index)
    block = Block(4, D)
    row = block.write(WatchlistEntry("p", np.ones(D, np.float32)), moment=1)
    selector = build_gpu_flat(Templates([Part(block, np.array([row]))], D), 1)
    assert selector.propose(np.ones((2, D), np.float32), 1, 1).tolist() == [[1], [1]]
    assert [each.scratch for each in made] == [SCRATCH_BYTES]
