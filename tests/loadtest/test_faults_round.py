"""How the recovery from a fault is watched: the fault is lifted whatever happens, and its signs are seen in time."""

import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from loadtest.faults_kinds import BACK, CONSUMING, Fault, Inflicted, Stage
from loadtest.faults_network import SHARDS
from loadtest.faults_round import SEARCH_SECONDS, Recovery
from pipeline.core.sharding import shard_of
from pipeline.errors import BrokerError


class Played:
    """The network, its feed and its watch in one."""

    def __init__(self, served: list[bool], told: list[str]) -> None:
        self.served, self.told = served, told
        self.settings = SimpleNamespace(run=SimpleNamespace(partitions=0))
        self.broken = False
        self.away_ns = 0

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

    def lost(self, _: int) -> "Played":
        """See Network."""
        return self

    def serving(self) -> bool:
        """See LostShard."""
        self.told.append(BACK)
        return self.served.pop(0)

    def hear(self) -> bool:
        """See LostShard."""
        self.away_ns = time.time_ns()
        return False


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
    watched = recovery(Played([False, False, True], told), lift=lambda: told.append("lifted"), lost_shard=0)
    watched.wait()
    assert told == [CONSUMING, BACK, BACK, BACK, "lifted"]
    assert None not in watched.seen.values()


def test_an_outage_is_of_the_entries_of_the_lost_shard_until_what_was_heard_last(told: list[str]) -> None:
    """It begins when a search that had its answers before is over."""
    entries = [f"person-{number}" for number in range(20)]
    before_ns = time.time_ns()
    watched = recovery(Played([True], told), lift=lambda: None, lost_shard=1)
    watched.wait()
    after_ns = time.time_ns()
    outage = watched.outage(entries)
    assert outage is not None
    assert outage.entries == [entry for entry in entries if shard_of(entry, SHARDS) == 1]
    assert 0 < len(outage.entries) < len(entries)
    assert before_ns <= outage.began_ns - SEARCH_SECONDS * 1e9 <= after_ns <= outage.ended_ns
    assert recovery(Played([], told), lift=lambda: None).outage(entries) is None
