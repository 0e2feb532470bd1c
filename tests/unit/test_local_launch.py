"""What makes formatted storage that of another node."""

import base64
from pathlib import Path

import pytest

from pipeline.local import launch as module
from pipeline.local.broker import Place
from pipeline.local.keeper import Kept
from pipeline.local.launch import DATA, Distribution, launch

FORMATTED = "#\n#Fri Nov 27 2026\ncluster.id=c\ndirectory.id=jxJZaWMGcyfBD4W1BVZzAQ\nnode.id=1\nversion=1\n"
CLUSTER = [Place(node, node, 10 + node) for node in (1, 2, 3)]


@pytest.fixture
def distribution(tmp_path: Path) -> Distribution:
    """Storage as Kafka formats it, and nothing else."""
    storage = tmp_path / "storage"
    storage.mkdir()
    (storage / "meta.properties").write_text(FORMATTED)
    return Distribution([], storage, tmp_path / "archive")


def stored(folder: Path) -> dict[str, str]:
    """The identity of a node's data folder."""
    lines = (folder / DATA / "meta.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def test_no_two_nodes_share_an_id_or_a_directory(
    distribution: Distribution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A controller refuses a broker whose directory is another's; the cluster is one, and a restart keeps all of it."""

    def nothing(*_: object, **__: object) -> Kept | None:
        return None

    monkeypatch.setattr(module, "keep", nothing)
    for place in CLUSTER:
        (tmp_path / str(place.node)).mkdir()
        launch(distribution, tmp_path / str(place.node), place, CLUSTER, heap_bytes=2**26)
    made = [stored(tmp_path / str(place.node)) for place in CLUSTER]
    assert [each["node.id"] for each in made] == ["1", "2", "3"]
    assert {each["cluster.id"] for each in made} == {"c"}
    assert len({each["directory.id"] for each in made}) == 3
    assert all(len(base64.urlsafe_b64decode(each["directory.id"] + "==")) == 16 for each in made)
    (tmp_path / "2" / DATA / "kept").touch()
    launch(distribution, tmp_path / "2", CLUSTER[1], CLUSTER, heap_bytes=2**26)
    assert (tmp_path / "2" / DATA / "kept").exists()
    assert stored(tmp_path / "2") == made[1]
