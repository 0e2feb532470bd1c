"""A model of the user's own in a run: its dimension, its threshold, its templates, and what refuses to start."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import ModelError, SettingsError
from pipeline.records import ConsumedRecord, OutgoingRecord, WatchlistEntry
from pipeline.runtime import composition, dimensions, enrolment_cache
from pipeline.runtime.composition import run_plan, shipped_looking
from pipeline.runtime.dimensions import RECORDS_LOOKED_AT, dimension_of, require_dimension, standing_dimensions
from pipeline.runtime.enrolment_cache import cached_templates, keep_templates, model_key
from pipeline.runtime.settings import Matching, Settings, Vision
from pipeline.streams.client import Connection
from pipeline.vision.own_models import OwnEmbedder
from pipeline.wire import watchlist as codec

MANIFEST = """
network = "embedder"
file = "net.pt"
format = "torchscript"
input = [112, 112]
mean = [0.0, 0.0, 0.0]
std = [255.0, 255.0, 255.0]
channels = "rgb"
dimension = 12
"""


class Corner(nn.Module):
    """Four pixels of a crop as its template."""

    def forward(self, x: Tensor) -> Tensor:
        """Return float[N, 12]."""
        return x[:, :, 40:42, 40:42].flatten(1)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """An embedder of 12 components."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is frozen
        torch.jit.trace(Corner(), torch.zeros(2, 3, 112, 112), check_trace=False).save(str(tmp_path / "net.pt"))
    path = tmp_path / "net.toml"
    path.write_text(MANIFEST, encoding="utf-8")
    return path


def own(manifest: Path, threshold: float | None = None) -> Settings:
    """Settings with the user's embedder."""
    return Settings(
        vision=Vision(embedder_model=manifest, device="cpu", precision="fp32"), matching=Matching(threshold=threshold)
    )


class Topic:
    """Stands for a reader of the watchlist topic."""

    def __init__(self, records: Sequence[OutgoingRecord]) -> None:
        self._records = [
            ConsumedRecord(0, offset, 0, each.key, each.value, tuple(each.headers))
            for offset, each in enumerate(records)
        ]
        self.read = 0
        self.closed = False

    def __call__(self, connection: Connection, topic: str) -> "Topic":
        """Open."""
        return self

    def ends(self) -> dict[int, int]:
        """The end."""
        return {0: len(self._records)}

    def reached(self, ends: dict[int, int]) -> bool:
        """Whether all was read."""
        return self.read >= ends[0]

    def poll(self, timeout: float) -> list[ConsumedRecord]:
        """Up to 4,000 records."""
        part = self._records[self.read : self.read + 4_000]
        self.read += len(part)
        return part

    def close(self) -> None:
        """Remember that."""
        self.closed = True


def entry(name: str, dimension: int) -> OutgoingRecord:
    """An addition with a template of a dimension."""
    return codec.encode(WatchlistEntry(name, np.eye(dimension, dtype=np.float32)[0], ""), dimension)


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> type[Topic]:
    """Makes the topic that a worker looks at."""

    class Installed(Topic):
        def __init__(self, *records: OutgoingRecord) -> None:
            super().__init__(records)
            monkeypatch.setattr(dimensions, "TopicReader", self)

    return Installed


NOWHERE = Connection("nowhere:9092")


def test_the_dimension_is_that_of_the_manifest(manifest: Path) -> None:
    """128 for the shipped embedder, the user's for another, without loading either."""
    assert dimension_of(Settings()) == 128
    assert dimension_of(own(manifest)) == 12


def test_only_what_stands_counts(topic: type[Topic]) -> None:
    """Removed and replaced entries, heartbeats and records that are no entry do not."""
    read = topic(
        entry("a", 128), entry("b", 128), codec.encode_heartbeat(), codec.encode_removal("a"), entry("b", 12),
        entry("c", 12), OutgoingRecord("watchlist", b"d", b"garbage", ()),
    )  # fmt: skip
    assert standing_dimensions(NOWHERE) == {12: 2}
    assert read.closed


def test_a_watchlist_of_another_dimension_is_refused_with_both_numbers(topic: type[Topic]) -> None:
    """Its shards would pass everybody over; the code is that of a model that does not fit."""
    topic(entry("a", 128), entry("b", 128))
    with pytest.raises(ModelError, match=r"own\.toml makes templates of dimension 512.*dimension 128 \(2 entries") as e:
        require_dimension(NOWHERE, 512, Path("own.toml"))
    assert e.value.exit_code == 7
    topic(entry("a", 128))
    with pytest.raises(ModelError, match="shipped embedder makes templates of dimension 12,"):
        require_dimension(NOWHERE, 12, None)


def test_an_empty_list_and_one_that_fits_in_part_are_taken(topic: type[Topic]) -> None:
    """Entries of another dimension are passed over and counted by the shards, as ever."""
    topic()
    require_dimension(NOWHERE, 512, None)
    topic(entry("a", 128), entry("b", 512))
    require_dimension(NOWHERE, 512, None)


def test_a_long_list_is_not_read_to_its_end(topic: type[Topic]) -> None:
    """A worker starts in a moment however many are sought."""
    read = topic(*(entry(f"p-{number}", 2) for number in range(RECORDS_LOOKED_AT + 10_000)))
    assert standing_dimensions(NOWHERE).keys() == {2}
    assert read.read < RECORDS_LOOKED_AT + 10_000


def test_a_worker_refuses_before_it_consumes(
    topic: type[Topic], manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Building its parts fails, so its loop is never started."""
    topic(entry("a", 128))
    monkeypatch.setattr(composition, "connection_of", lambda *_: NOWHERE)
    with pytest.raises(ModelError, match=r"dimension 12, but those on the watchlist have dimension 128"):
        composition.WorkerFactory(own(manifest, 0.5), "run")(0)


def test_a_network_without_a_threshold_needs_one(manifest: Path) -> None:
    """The shipped threshold says nothing about templates of another network."""
    with pytest.raises(SettingsError, match=r"matching\.threshold is not set.*`threshold`"):
        shipped_looking(own(manifest))
    assert shipped_looking(own(manifest, 0.4)).threshold == 0.4
    manifest.write_text(MANIFEST + "threshold = 0.3\n", encoding="utf-8")
    looking = shipped_looking(own(manifest))
    assert (looking.threshold, looking.embedder.dimension) == (0.3, 12)


def test_a_manifest_that_cannot_be_used_is_refused_before_any_process_starts(tmp_path: Path) -> None:
    """The plan of a run is made in the command."""
    with pytest.raises(ModelError, match=r"gone\.toml"):
        run_plan(own(tmp_path / "gone.toml"), "run")


def test_actors_get_absolute_paths(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They work in another folder than the command."""
    monkeypatch.chdir(manifest.parent)
    plan = run_plan(own(Path("net.toml")), "run")
    assert plan.make_worker.settings.vision.embedder_model == manifest.absolute()
    assert plan.make_shard.settings.vision.embedder_model == manifest.absolute()


def test_templates_of_two_embedders_are_kept_apart(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A demo with a network of the user's must not find those of the shipped one in the cache."""
    monkeypatch.setattr(enrolment_cache, "cache_folder", lambda: tmp_path)
    key = model_key(manifest)
    keep_templates(1, OwnEmbedder(manifest).embed(np.full((3, 112, 112, 3), 9, np.uint8)), key)
    kept = cached_templates(1, 3, key)
    assert kept is not None
    assert kept.shape == (3, 12)
    assert cached_templates(1, 3) is None
    manifest.write_text(MANIFEST.replace("255.0]", "254.0]"), encoding="utf-8")
    assert model_key(manifest) != key
