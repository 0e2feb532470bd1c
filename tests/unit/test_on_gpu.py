"""What only a GPU can show: the same answers as the CPU's. Skipped where there is none."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.catalog.indexes import GPU_INDEXES, IndexKind
from pipeline.matching.approximate import ApproximateIndex
from pipeline.matching.gpu import lacking
from pipeline.matching.index import InnerProductIndex
from pipeline.matching.kinds import make_index
from pipeline.matching.shard import FaissShard
from pipeline.records import Candidate, Probes, WatchlistEntry
from pipeline.synthetic.faces import enrolment_views
from pipeline.synthetic.identities import identity
from pipeline.synthetic.seeds import Population, group
from pipeline.synthetic.street import Street, StreetSpec
from pipeline.vision import precision as probed
from pipeline.vision.eyes import Eyes, load_eyes
from pipeline.vision.fixed_batches import FixedBatches
from pipeline.vision.forward import GPU_BATCHES, Precision
from pipeline.vision.networks import EmbedderNetwork
from pipeline.vision.training.embedder import EmbedderPlan, train_embedder

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")

DIMENSION = 128
ENTRIES = 20_000
PROBES = 300


def normalised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def eyes() -> Iterator[Eyes]:
    """The shipped eyes on the CPU in fp32, which those on the GPU are held against."""
    yield load_eyes()


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    """As many crops of people as the largest batch and some more, uint8[70, 112, 112, 3]."""
    return np.concatenate([enrolment_views(identity(seed), 2) for seed in group(Population.VALIDATION, 9, 35)])


@needs_gpu
@torch.inference_mode()
def test_replayed_graphs_give_what_the_network_gives() -> None:
    """At every number of pictures, the padded ones and those of several passes among them, whatever ran before."""
    torch.manual_seed(0)
    network = EmbedderNetwork().eval().cuda().to(memory_format=torch.channels_last)
    replayed = FixedBatches(network, GPU_BATCHES)
    batches = [torch.randn(count, 3, 112, 112, device="cuda") for count in (1, 70, 3, 64, 8, 33, 1, 9)]
    outputs = [replayed(batch) for batch in batches]
    for batch, output in zip(batches, outputs, strict=True):
        assert output.shape == (len(batch), DIMENSION)
        assert torch.cosine_similarity(output, network(batch)).min() >= 0.999


@needs_gpu
@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("bf16", 0.99)])
def test_templates_of_a_gpu_compare_with_those_of_the_cpu(
    precision: Precision, least: float, eyes: Eyes, crops: NDArray[np.uint8]
) -> None:
    """Watchlists are enrolled on either."""
    embedder = load_eyes("cuda", precision=precision).embedder
    cosines = (embedder.embed(crops) * eyes.embedder.embed(crops)).sum(axis=1)
    assert cosines.min() >= least


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_finds_the_faces_that_the_cpu_finds(precision: Precision, eyes: Eyes) -> None:
    """All that are not at the edge of what counts, at the same place."""
    street = Street(StreetSpec(seed=1, camera="gpu/0", density=45.0))
    images = [street.render(index) for index in range(4, 20)]
    found = 0
    for ours, theirs in zip(
        load_eyes("cuda", precision=precision).detector.detect(images), eyes.detector.detect(images), strict=True
    ):
        clear = theirs.boxes[theirs.scores > 0.6]
        found += len(clear)
        for box in clear:
            assert np.abs(ours.boxes - box).max(axis=1).min() < 4.0
    assert found >= 10


@needs_gpu
def test_a_probe_on_a_gpu_takes_what_it_can_compute_in(caplog: pytest.LogCaptureFixture) -> None:
    """For each network; int8 is no candidate."""
    with caplog.at_level("INFO", logger=probed.__name__):
        chosen = load_eyes("cuda", precision="auto")
    assert {chosen.detector.precision, chosen.embedder.precision} <= {"fp32", "bf16"}
    assert len(caplog.messages) == 2
    assert not any("int8" in message for message in caplog.messages)


@needs_gpu
def test_a_training_on_a_gpu_resumes(tmp_path: Path) -> None:
    """From contrast to softmax, with an interruption after a checkpoint, to finite weights."""
    losses: list[float] = []

    def watch(stage: str, done: int, total: int, loss: float) -> None:
        if stage == "train":
            losses.append(loss)
            if len(losses) == 4:
                raise InterruptedError

    plan = EmbedderPlan(people=64, steps=6)
    with pytest.raises(InterruptedError):
        train_embedder(plan, tmp_path, device="cuda", checkpoint_every=3, validated=8, progress=watch)
    weights = train_embedder(plan, tmp_path, device="cuda", checkpoint_every=3, validated=8, progress=watch)
    assert len(losses) == 4 + 3
    assert np.isfinite(losses).all()
    assert all(torch.isfinite(tensor.float()).all() for tensor in weights.values())


def _filled(index: InnerProductIndex, templates: NDArray[np.float32]) -> InnerProductIndex:
    for number, template in enumerate(templates):
        index.put(WatchlistEntry(f"person-{number}", template, ""))
    index.publish(1)
    return index


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.skipif(bool(lacking(index)), reason=lacking(index)))
        for kind, index in GPU_INDEXES.items()
    ],
)
def test_an_index_on_a_gpu_answers_as_the_exact_one(kind: IndexKind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries and scores, to the last bit, of what it proposes and without an exact search; a graph may miss some."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((ENTRIES, DIMENSION)).astype(np.float32)
    noise = rng.standard_normal((PROBES, DIMENSION)).astype(np.float32)
    probes = Probes(normalised(rows[:PROBES] + noise), np.zeros(PROBES, np.int64))
    exact, ours = (
        _filled(each, normalised(rows))
        for each in (InnerProductIndex(DIMENSION), make_index(kind, DIMENSION, threads=1, rebuild_seconds=1e9))
    )
    wanted = FaissShard(0, exact).search(probes, 5)
    assert isinstance(ours, ApproximateIndex)
    ours.rebuild()
    assert ours.covered == ENTRIES

    def refused(*_: object) -> list[list[Candidate]]:
        raise AssertionError("all rows were searched, and not what was proposed")

    monkeypatch.setattr(InnerProductIndex, "search", refused)
    answered = FaissShard(0, ours).search(probes, 5)
    if kind == "gpu-flat":
        assert answered == wanted
    same = [one[0] == other[0] for one, other in zip(answered.candidates, wanted.candidates, strict=True)]
    assert np.mean(same) >= 0.95
