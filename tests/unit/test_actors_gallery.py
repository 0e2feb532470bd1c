"""A worker's view of all shards, with shards that the test plays."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.actors import gallery as module
from pipeline.actors.gallery import RayGallery
from pipeline.actors.shard_reply import pack
from pipeline.records import Candidate, Probes, ShardReply

FACE = Probes(np.ones((1, 128), np.float32), np.ones(1, np.int64))
NO_FACE = Probes(np.empty((0, 128), np.float32), np.empty(0, np.int64))


class Shards:
    """A Ray with the shards of one run: `versions` gives those that are there."""

    def __init__(self, versions: dict[int, int]) -> None:
        self.versions = versions
        self.searches = 0

    def get_actor(self, name: str, namespace: str) -> Any:
        """Ray's get_actor; raises ValueError for a shard that is away."""
        number = int(name.removeprefix("shard-"))
        if number not in self.versions:
            raise ValueError(name)
        return SimpleNamespace(search=SimpleNamespace(remote=lambda *_: self._search(number)))

    def get(self, replies: list[bytes], timeout: float) -> list[bytes]:
        """Ray's get; nothing is ever late."""
        return replies

    def _search(self, number: int) -> bytes:
        self.searches += 1
        version = self.versions[number]
        return pack(ShardReply(number, version, 1, ((Candidate(f"p{number}", 0.5, version),),)))


def made(monkeypatch: pytest.MonkeyPatch, shards: Shards) -> RayGallery:
    """A gallery of two shards under `degrade`."""
    monkeypatch.setattr(module, "ray", shards)
    return RayGallery(namespace="run", shards=2, deadline_seconds=1.0, on_shard_loss="degrade")


def test_a_batch_without_a_face_claims_no_more_than_the_latest_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost shard is not back because nobody looked, and no version of 0 was searched."""
    shards = Shards({0: 7})
    gallery = made(monkeypatch, shards)
    found = gallery.search(FACE, 3)
    assert (found.version_lowest, found.version_greatest, found.fraction_searched) == (7, 7, 0.5)
    searches = shards.searches
    nothing = gallery.search(NO_FACE, 3)
    assert nothing.candidates == ()
    assert (nothing.version_lowest, nothing.version_greatest, nothing.fraction_searched) == (7, 7, 0.5)
    assert shards.searches == searches
    shards.versions |= {1: 7}
    assert gallery.search(FACE, 3).fraction_searched == 1.0
    assert gallery.search(NO_FACE, 3).fraction_searched == 1.0


def test_a_gallery_that_has_searched_nothing_yet_has_met_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 0 says that nothing was searched."""
    nothing = made(monkeypatch, Shards({})).search(NO_FACE, 3)
    assert (nothing.candidates, nothing.version_greatest, nothing.fraction_searched) == ((), 0, 1.0)
