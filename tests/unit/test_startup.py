"""How long a start is waited for, and what is said of one that takes too long."""

from types import SimpleNamespace

import pytest

from pipeline.actors.watchlist_shard import ShardStatus
from pipeline.errors import ClusterError
from pipeline.runtime.startup import StartLimit, awaited_processes, listed


def test_a_start_that_does_not_get_on_ends_with_what_is_awaited() -> None:
    """Whoever reads it has to know where to look."""
    limit = StartLimit(120.0)
    limit.check({"worker-1": "starting"}, 0.0)
    limit.check({"worker-1": "starting"}, 120.0)
    with pytest.raises(ClusterError, match=r"120 s \(lifecycle\.start_seconds\); still awaited: worker-1 \(starting\)"):
        limit.check({"worker-1": "starting"}, 120.1)


def test_what_gets_on_is_waited_for() -> None:
    """A long watchlist takes minutes and is no fault; what comes later has its own time."""
    limit = StartLimit(10.0)
    for second in range(100):
        limit.check({"watchlist": f"{second} people"}, float(second))
    limit.check({"watchlist on shard-0": "version 0 of 9"}, 109.0)
    with pytest.raises(ClusterError, match="watchlist on shard-0"):
        limit.check({"watchlist on shard-0": "version 0 of 9"}, 119.1)


def test_a_process_that_dies_again_and_again_does_not_get_on() -> None:
    """Its news were there before."""
    limit = StartLimit(10.0)
    limit.check({"worker-0": "starting"}, 0.0)
    limit.check({"worker-0": "failed: no memory"}, 5.0)
    with pytest.raises(ClusterError, match="worker-0"):
        for second in range(6, 20):
            limit.check({"worker-0": ("starting", "failed: no memory")[second % 2]}, float(second))


def test_awaited_are_the_processes_that_are_not_up() -> None:
    """Each with what it does instead, and those that have not said anything yet as a number."""
    status = SimpleNamespace(
        workers=[
            SimpleNamespace(slot=0, state="running", failure=""),
            SimpleNamespace(slot=1, state="failed", failure="BrokerError: gone"),
        ],
        shards=[SimpleNamespace(name="shard-0.1", state="starting", failure="", news="starting, 7 of 9 records read")],
        awaited=2,
    )
    awaited = awaited_processes(status)  # type: ignore[arg-type]  # what is looked at of a status
    assert listed(awaited) == (
        "worker-1 (BrokerError: gone), shard-0.1 (starting, 7 of 9 records read), "
        "workers and shards (2 have not answered yet)"
    )
    status.workers[1].state = status.shards[0].state = "running"
    status.awaited = 0
    assert awaited_processes(status) == {}  # type: ignore[arg-type]  # as above


def shard(**said: object) -> ShardStatus:
    """What a replica of a shard says of itself."""
    nothing = dict.fromkeys(("failure", "node", "node_id"), "")
    numbers = dict.fromkeys(("shard", "replica", "pid", "failure_exit_code", "metrics_port", "entries", "malformed"), 0)
    return ShardStatus(**{"name": "shard-0", "recoverable": False, "version": 0} | nothing | numbers | said)


def test_a_shard_that_starts_says_how_far_it_has_read() -> None:
    """So a long watchlist gets on, and is waited for; whoever looks on sees it."""
    assert shard(state="starting").news == "starting"
    assert shard(state="starting", version=249_999, end=1_000_000).news == "starting, 250,000 of 1,000,000 records read"
    assert shard(state="starting", version=1_000_003, end=1_000_000).news.startswith("starting, 1,000,000 of")
    assert shard(state="running", version=9, end=10).news == "running"
