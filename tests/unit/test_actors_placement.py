"""Which node a replica is given, and what is known of where the others live."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from pipeline.actors import placement
from pipeline.actors.placement import Placement
from pipeline.core.replicas import Replica, replicas_of

A, B, C = (letter * 56 for letter in "abc")


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The nodes of the cluster; node C is dead."""
    nodes = [A, B]

    def listed() -> list[dict[str, Any]]:
        return [*({"NodeID": node, "Alive": True} for node in nodes), {"NodeID": C, "Alive": False}]

    monkeypatch.setattr(placement, "ray", SimpleNamespace(nodes=listed))
    return nodes


class Left:
    """What a dead supervisor has left: replicas by name, each with its status or the error that asking gives."""

    def __init__(self, actors: dict[str, Any]) -> None:
        self.actors = actors

    def get_actor(self, name: str, namespace: str) -> Any:
        """See Ray."""
        assert namespace == "run"
        if name not in self.actors:
            raise ValueError(name)
        return SimpleNamespace(status=SimpleNamespace(remote=lambda: name))

    def wait(self, references: list[str], num_returns: int, timeout: float) -> tuple[list[str], list[str]]:
        """See Ray; one of which nothing is known does not answer."""
        assert (num_returns, timeout) == (len(references), placement.LOOK_UP_SECONDS)
        return [each for each in references if self.actors[each] is not None], []

    def get(self, reference: str) -> Any:
        """See Ray."""
        if isinstance(self.actors[reference], Exception):
            raise self.actors[reference]
        return self.actors[reference]


def places(placing: Placement, replicas: Sequence[Replica]) -> list[str]:
    """The nodes that replicas are given, in order."""
    options = [placing.options(each) for each in replicas]
    assert all(each["memory"] > 0 for each in options), "Ray would not heed a node"
    strategies = [each["scheduling_strategy"] for each in options]
    assert all(each.soft for each in strategies)
    return [each.node_id for each in strategies]


def said(replica: Replica, node: str, pid: int) -> Any:
    """What is looked at of a replica's status."""
    return SimpleNamespace(shard=replica.shard, replica=replica.number, node_id=node, pid=pid)


def test_the_only_replica_of_a_shard_is_left_to_ray(alive: list[str]) -> None:
    """The cluster is not even asked for its nodes."""
    assert Placement(1).options(Replica(0, 0, 1)) == {}


def test_replicas_of_a_shard_are_given_different_nodes(alive: list[str]) -> None:
    """Neither a node that is dead nor, for a third replica, none."""
    placing = Placement(3)
    given = places(placing, replicas_of(0, 3))
    assert set(given[:2]) == {A, B}
    assert given[2] in {A, B}


def test_a_successor_is_given_a_node_away_from_its_sibling(alive: list[str]) -> None:
    """Wherever that lives, as it says itself: after an adoption nobody else knows."""
    first, second = replicas_of(0, 2)
    placing = Placement(2)
    assert places(placing, (first, second)) == [A, B]
    placing.take_in(None)
    placing.take_in(said(first, B, 1))
    placing.take_in(said(second, A, 2))
    assert places(placing, [second]) == [A]
    placing.take_in(said(second, A, 2))
    alive.append(C)
    alive.remove(A)
    assert places(placing, [second]) == [C]
    placing.take_in(said(second, A, 2))  # the predecessor's last words
    assert places(placing, [first]) == [B]


def test_a_supervisor_that_comes_back_gives_missing_replicas_nodes_away_from_those_it_adopts(
    alive: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its first pass it asks for each in order, the missing one before the sibling that lives."""
    first, second = replicas_of(0, 2)
    other, silent = replicas_of(1, 2)
    left = Left({second.name: said(second, A, 1), other.name: ActorDiedError(), silent.name: None})
    for name in ("get_actor", "wait", "get"):
        monkeypatch.setattr(placement.ray, name, getattr(left, name), raising=False)
    alive.append(C)
    placing = Placement(2)
    placing.look_up("run", [first, second, other, silent])
    assert places(placing, [first, second]) == [B, A]
    assert len(set(places(placing, [other, silent]))) == 2
    assert places(placing, [second]) == [C], "it has died since"


def test_nobody_is_asked_where_there_are_no_replicas(alive: list[str]) -> None:
    """Neither for the only ones of their shards, which Ray places, nor in a run that is new."""
    Placement(1).look_up("run", replicas_of(0, 1))
