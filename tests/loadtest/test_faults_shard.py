"""Until when a lost shard was certainly away: by what its replicas answer, however late."""

from types import SimpleNamespace
from typing import Any, Literal

import pytest
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError

from loadtest import faults_shard
from loadtest.faults_shard import STATE_SECONDS, LostShard

Told = Literal["running", "starting", "failed", "dead", "unavailable", "raised"]
Call = tuple[str, int]
"""A replica and which of its calls."""

ERRORS: dict[str, Exception] = {
    "dead": ActorDiedError(),
    "unavailable": ActorUnavailableError("gone for now", b"0" * 16),
    "raised": RayTaskError("status", "its trace", ValueError("said the replica")),
}


class Cluster:
    """Plays Ray: replicas by name, the calls that each got, and what was answered to each."""

    def __init__(self) -> None:
        self.there = {"shard-0.0", "shard-0.1"}
        self.calls = dict.fromkeys(self.there, 0)
        self.answers: dict[Call, Told] = {}
        self.waits: list[tuple[int, float]] = []

    def get_actor(self, name: str, namespace: str) -> Any:
        """See ray."""
        assert namespace == "run"
        if name not in self.there:
            raise ValueError(name)
        return SimpleNamespace(status=SimpleNamespace(remote=lambda: self._called(name)))

    def _called(self, name: str) -> Call:
        self.calls[name] += 1
        return name, self.calls[name]

    def wait(self, asked: list[Call], num_returns: int, timeout: float) -> tuple[list[Call], list[Call]]:
        """See ray."""
        self.waits.append((num_returns, timeout))
        return [each for each in asked if each in self.answers], [each for each in asked if each not in self.answers]

    def get(self, call: Call) -> Any:
        """See ray."""
        told = self.answers[call]
        if told in ERRORS:
            raise ERRORS[told]
        return SimpleNamespace(state=told)

    def answer(self, replica: int, told: Told, *numbers: int) -> None:
        """Have a replica answer those of its calls, also such as it gets later."""
        self.answers |= {(f"shard-0.{replica}", number): told for number in numbers}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """In the place of Ray, with a clock that shows 1, 2, 3 … as the questions are asked."""
    played, now = Cluster(), iter(range(1, 100))
    for name in ("get_actor", "wait", "get"):
        monkeypatch.setattr(ray, name, getattr(played, name))
    monkeypatch.setattr(faults_shard.time, "time_ns", lambda: next(now))
    return played


@pytest.fixture
def lost(cluster: Cluster) -> LostShard:
    """The watch over it."""
    return LostShard("run", 0, 2)


def test_all_replicas_are_asked_at_once(cluster: Cluster, lost: LostShard) -> None:
    """Those that do not answer keep nobody waiting one after the other, and are not known to be away."""
    assert not lost.serving()
    assert cluster.waits[0] == (2, STATE_SECONDS)
    assert lost.away_ns == 0


def test_a_shard_without_replicas_is_away(cluster: Cluster, lost: LostShard) -> None:
    """There is nobody to ask."""
    cluster.there.clear()
    assert not any(lost.serving() for _ in range(2))
    assert lost.away_ns == 2


def test_a_question_counts_when_its_last_answer_comes(cluster: Cluster, lost: LostShard) -> None:
    """Of a replica that was being started, while a later question is still open."""
    cluster.answer(0, "dead", 1, 2, 3)
    assert not any(lost.serving() for _ in range(3))
    assert lost.away_ns == 0
    cluster.answer(1, "starting", 1, 2)
    assert not lost.hear()
    assert lost.away_ns == 2


def test_what_was_answered_before_a_replica_served_counts_too(cluster: Cluster, lost: LostShard) -> None:
    """Both come up between two looks, answer what they were asked, and serve."""
    assert not any(lost.serving() for _ in range(3))
    for replica in (0, 1):
        cluster.answer(replica, "starting", 1, 2, 3)
        cluster.answer(replica, "running", 4)
    assert lost.serving()
    assert lost.away_ns == 3


def test_a_replica_that_comes_up_after_another_serves_is_still_heard(cluster: Cluster, lost: LostShard) -> None:
    """Its answers close what the first one had answered."""
    assert not any(lost.serving() for _ in range(3))
    cluster.answer(0, "starting", 1, 2, 3)
    cluster.answer(0, "running", 4)
    assert lost.serving()
    assert lost.away_ns == 0
    cluster.answer(1, "starting", 1, 2, 3, 4)
    assert not lost.hear()
    assert lost.away_ns == 3


@pytest.mark.parametrize("told", ["failed", "unavailable", "raised"])
def test_an_answer_that_does_not_tell_whether_it_served_closes_no_question(
    told: Told, cluster: Cluster, lost: LostShard
) -> None:
    """It may have, when it was asked."""
    cluster.answer(0, "dead", 1)
    cluster.answer(1, told, 1)
    assert not lost.serving()
    assert lost.away_ns == 0


@pytest.mark.parametrize("replica", [0, 1])
def test_one_replica_that_serves_is_enough(cluster: Cluster, lost: LostShard, replica: int) -> None:
    """And moves nothing of the moment until which it was away."""
    cluster.answer(0, "starting", 1, 2)
    cluster.answer(1, "dead", 1, 2)
    assert not lost.serving()
    cluster.answer(replica, "running", 2)
    assert lost.serving()
    assert lost.away_ns == 1
