"""How the recovery from a fault is watched: the fault is lifted whatever happens, and its signs are seen in time."""

import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from loadtest.faults_kinds import BACK, CONSUMING, Fault, Inflicted, Stage
from loadtest.faults_network import STATE_SECONDS, Network, ShardState
from loadtest.faults_round import Recovery
from pipeline.errors import BrokerError


class Played:
    """The network, its feed and its watch in one."""

    def __init__(self, states: list[ShardState], told: list[str]) -> None:
        self.states, self.told = states, told
        self.settings = SimpleNamespace(run=SimpleNamespace(partitions=0))
        self.broken = False

    def check(self) -> None:
        """See Feed."""

    def first_after(self, _: int) -> Mapping[int, int]:
        """See Feed."""
        self.told.append(CONSUMING)
        return {}

    def look(self) -> None:
        """See Watch."""
        if self.broken:
            raise BrokerError("Kafka at here: no answer")

    def state_of(self, _: int) -> ShardState:
        """See Network."""
        self.told.append(BACK)
        return self.states.pop(0)


@pytest.fixture
def told() -> list[str]:
    """What was looked at, in turn."""
    return []


def recovery(played: Any, *, lift: Callable[[], None], lost_shard: int | None = None) -> Recovery:
    """One whose fault began just now."""
    inflicted = Inflicted("somebody", lift=lift, lost_shard=lost_shard)
    fault = Fault("shard", {CONSUMING: 15.0}, lambda *_: inflicted)
    return Recovery(Stage(played, played, None), played, fault, inflicted, time.monotonic())


def test_a_fault_is_lifted_when_watching_it_fails(told: list[str]) -> None:
    """Else the next network would start on a full disk."""
    played = Played([], told)
    played.broken = True
    lifted: list[int] = []
    with pytest.raises(BrokerError, match="no answer"):
        recovery(played, lift=lambda: lifted.append(1)).wait()
    assert lifted == [1]


def test_the_signs_are_seen_before_the_shard_is_asked_and_it_is_not_asked_once_it_is_back(told: list[str]) -> None:
    """A shard that is away keeps the watch waiting, and a sign that is seen late is taken for a late recovery."""
    watched = recovery(Played(["away", "unknown", "serving"], told), lift=lambda: told.append("lifted"), lost_shard=0)
    before_ns = time.time_ns()
    watched.wait()
    assert told == [CONSUMING, BACK, BACK, BACK, "lifted"]
    assert None not in watched.seen.values()
    outage = watched.outage(["anybody"])
    assert outage is not None
    assert before_ns <= outage.ended_ns < time.time_ns(), "when it was known to be away, and not when it was not"


@pytest.mark.parametrize(("there", "state"), [({"shard-0.0", "shard-0.1"}, "unknown"), (set(), "away")])
def test_the_replicas_of_a_shard_are_asked_at_once(
    monkeypatch: pytest.MonkeyPatch, there: set[str], state: ShardState
) -> None:
    """Those that do not answer keep nobody waiting one after the other, and are not known to be away."""
    waits: list[tuple[int, float]] = []

    def get_actor(name: str, namespace: str) -> Any:
        if name not in there:
            raise ValueError(name)
        return SimpleNamespace(status=SimpleNamespace(remote=lambda: name))

    def wait(asked: list[str], num_returns: int, timeout: float) -> tuple[list[str], list[str]]:
        waits.append((num_returns, timeout))
        return [], asked

    monkeypatch.setattr(ray, "get_actor", get_actor)
    monkeypatch.setattr(ray, "wait", wait)
    network: Any = SimpleNamespace(run="run")
    assert Network.state_of(network, 0) == state
    assert waits == ([(2, STATE_SECONDS)] if there else [])
