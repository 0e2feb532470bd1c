"""Until when a lost shard was certainly away: by what its replicas answer, however late."""

from types import SimpleNamespace
from typing import Any, Literal

import pytest
import ray
from ray.exceptions import RayActorError

from loadtest import faults_shard
from loadtest.faults_shard import STATE_SECONDS, LostShard

State = Literal["running", "starting", "dead"]


class Cluster:
    """Plays Ray: replicas by name, the calls that each was asked in, and what it answers."""

    def __init__(self) -> None:
        self.there = {"shard-0.0", "shard-0.1"}
        self.answers: dict[str, State] = {}
        """By replica; one that has none keeps its callers waiting."""
        self.waits: list[tuple[int, float]] = []

    def get_actor(self, name: str, namespace: str) -> Any:
        """See ray."""
        assert namespace == "run"
        if name not in self.there:
            raise ValueError(name)
        return SimpleNamespace(status=SimpleNamespace(remote=lambda: [name]))

    def wait(self, asked: list[list[str]], num_returns: int, timeout: float) -> tuple[list[list[str]], list[list[str]]]:
        """See ray."""
        self.waits.append((num_returns, timeout))
        return [each for each in asked if each[0] in self.answers], []

    def get(self, call: list[str]) -> Any:
        """See ray."""
        if self.answers[call[0]] == "dead":
            raise RayActorError
        return SimpleNamespace(state=self.answers[call[0]])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """In the place of Ray, with a clock that shows 1, 2, 3 …"""
    played, now = Cluster(), iter(range(1, 100))
    for name in ("get_actor", "wait", "get"):
        monkeypatch.setattr(ray, name, getattr(played, name))
    monkeypatch.setattr(faults_shard.time, "time_ns", lambda: next(now))
    return played


def test_all_replicas_are_asked_at_once(cluster: Cluster) -> None:
    """Those that do not answer keep nobody waiting one after the other, and are not known to be away."""
    lost = LostShard("run", 0, 2)
    assert not lost.serving()
    assert cluster.waits[0] == (2, STATE_SECONDS)
    assert lost.away_ns == 0


def test_a_shard_without_replicas_is_away(cluster: Cluster) -> None:
    """There is nobody to ask."""
    cluster.there.clear()
    lost = LostShard("run", 0, 2)
    assert not lost.serving()
    assert not lost.serving()
    assert lost.away_ns == 2


def test_what_was_asked_of_a_replica_that_was_being_started_counts_when_it_answers(cluster: Cluster) -> None:
    """It tells that it had not served up to then; a question that the other one never answers tells nothing."""
    cluster.answers["shard-0.0"] = "dead"
    lost = LostShard("run", 0, 2)
    assert not any(lost.serving() for _ in range(3))
    assert lost.away_ns == 0
    cluster.answers["shard-0.1"] = "starting"
    assert not lost.serving()
    assert lost.away_ns == 4


@pytest.mark.parametrize("name", ["shard-0.0", "shard-0.1"])
def test_one_replica_that_serves_is_enough(cluster: Cluster, name: str) -> None:
    """And moves nothing of the moment until which it was away."""
    cluster.answers = {"shard-0.0": "starting", "shard-0.1": "dead"}
    lost = LostShard("run", 0, 2)
    assert not lost.serving()
    cluster.answers[name] = "running"
    assert lost.serving()
    assert lost.away_ns == 1
