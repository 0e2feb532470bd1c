"""Whom a search asks, when it asks another, and where replicas live."""

from collections import Counter

import pytest

from pipeline.core.replicas import Replica, hedge_delays, home, preference, replicas_of


def test_names_tell_replicas_apart() -> None:
    """The only one of a shard is called like the shard."""
    assert [each.name for each in replicas_of(3, 2)] == ["shard-3.0", "shard-3.1"]
    assert [each.name for each in replicas_of(3, 1)] == ["shard-3"]
    assert Replica(3, 1, 3).siblings == (Replica(3, 0, 3), Replica(3, 2, 3))


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_searches_are_spread_evenly_over_those_that_are_not_avoided(replicas: int) -> None:
    """Each is the first in as many turns as any other, and everyone is in every order once."""
    for avoided in (set(), {Replica(2, 0, replicas)}):
        orders = [preference(2, replicas, turn, avoided) for turn in range(60)]
        firsts = Counter(order[0] for order in orders)
        trusted = set(replicas_of(2, replicas)) - avoided or avoided
        assert firsts == dict.fromkeys(trusted, 60 // len(trusted))
        assert all(sorted(order, key=lambda each: each.number) == [*replicas_of(2, replicas)] for order in orders)
        assert all(set(order[len(trusted) :]) == avoided - trusted for order in orders)


def test_the_next_turn_begins_with_another_replica() -> None:
    """So that one that lags need not be asked once more itself."""
    assert all(preference(0, 3, turn, ())[0] != preference(0, 3, turn + 1, ())[0] for turn in range(3))


@pytest.mark.parametrize("replicas", [2, 3, 16])
def test_all_replicas_are_asked_within_half_of_the_deadline_and_none_before_a_quarter(replicas: int) -> None:
    """The last of them has half of it, and an ordinary batch is searched once, however many there are."""
    delays = hedge_delays(2.0, replicas)
    assert len(delays) == replicas - 1
    assert delays[0] == 0.5
    assert sorted(set(delays)) == list(delays)
    assert delays[-1] < 1.0


def test_the_only_replica_has_all_the_time() -> None:
    """There is nobody else to ask."""
    assert hedge_delays(2.0, 1) == ()


def test_replicas_of_a_shard_live_apart_while_there_are_nodes() -> None:
    """Shards are spread as evenly as replicas are apart."""
    nodes = ["a", "b", "c"]
    homes: dict[Replica, str] = {}
    for replica in (each for shard in range(6) for each in replicas_of(shard, 2)):
        siblings = [homes[each] for each in replica.siblings if each in homes]
        chosen = home(nodes, siblings, [node for each, node in homes.items() if each.shard != replica.shard])
        assert chosen is not None
        homes[replica] = chosen
    assert all(homes[first] != homes[second] for first, second in (replicas_of(shard, 2) for shard in range(6)))
    assert Counter(homes.values()) == {"a": 4, "b": 4, "c": 4}


def test_the_node_of_the_last_death_is_left_alone_where_there_is_another_as_far_from_the_siblings() -> None:
    """It may lack what a replica needs; but two of one shard on one node are worse."""
    assert home(["a", "b", "c"], ["c"], ["b"], died_on="a") == "b"
    assert home(["a", "b"], ["b"], [], died_on="a") == "a"


def test_one_node_takes_all_and_none_takes_none() -> None:
    """A machine by itself starts every replica."""
    assert home(["a"], ["a"], ["a", "a"]) == "a"
    assert home([], [], []) is None
