"""What holds for every alert history: nothing that was committed is overlooked, whatever is open at the moment."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.errors import BrokerError
from pipeline.records import OutgoingRecord

MINUTE_NS = 60 * 10**9


def entries(found: Any) -> list[str]:
    """The entries of what a history gave, sorted."""
    return sorted(entry for _, entry, _ in found)


def test_alerts_of_the_partitions_asked_for_are_found(world: Any) -> None:
    """Not those of other partitions."""
    world.append(0, b"a", world.alerts)
    world.append(0, b"b", world.alerts)
    world.append(1, b"c", world.alerts)
    history = world.history()
    since = time.time_ns() - MINUTE_NS
    assert entries(history.recent([0], since)) == ["a", "b"]
    assert entries(history.recent([0, 1], since)) == ["a", "b", "c"]
    assert [camera for camera, _, _ in history.recent([1], since)] == ["camera"]


def test_alerts_from_before_are_left_out(world: Any, eventually: Callable[..., None]) -> None:
    """Only what was appended since the given time counts."""
    world.append(0, b"old", world.alerts)
    border = time.time_ns() + 2_000_000
    eventually(lambda: time.time_ns() > border + 2_000_000)
    world.append(0, b"new", world.alerts)
    assert entries(world.history().recent([0], border)) == ["new"]


def test_nothing_is_found_where_nothing_is(world: Any) -> None:
    """An empty partition, no partition, and a time after the last alert."""
    history = world.history()
    assert list(history.recent([0, 1], 0)) == []
    assert list(history.recent([], 0)) == []
    world.append(0, b"a", world.alerts)
    assert list(history.recent([0], time.time_ns() + MINUTE_NS)) == []


def test_a_record_that_is_no_alert_is_skipped(world: Any) -> None:
    """Whoever may write to the topic cannot stop a worker; the alerts around it are found."""
    for value in (b"a", b"foreign", b"b"):
        world.append(0, value, world.alerts)
    assert entries(world.history().recent([0], time.time_ns() - MINUTE_NS)) == ["a", "b"]


def test_an_open_transaction_is_waited_for(world: Any) -> None:
    """The answer comes when a successor has ended it, without what it held."""
    world.append(0, b"before", world.alerts)
    world.leave_open(0, [OutgoingRecord(world.alerts, b"camera", b"half", partition=0)])
    history, found = world.history(), []
    reader = threading.Thread(target=lambda: found.append(history.recent([0], time.time_ns() - MINUTE_NS)))
    reader.start()
    reader.join(0.5)
    assert reader.is_alive(), "it answered while a transaction was open"
    world.outbox(0)
    reader.join(10)
    assert [entries(each) for each in found] == [["before"]]


def test_only_open_transactions_after_the_call_are_left_alone(world: Any) -> None:
    """One that is open on another partition holds nobody up."""
    world.append(0, b"a", world.alerts)
    world.leave_open(0, [OutgoingRecord(world.alerts, b"camera", b"half", partition=1)])
    assert entries(world.history().recent([0], time.time_ns() - MINUTE_NS)) == ["a"]


def test_a_transaction_that_stays_open_is_an_error(world: Any) -> None:
    """The wait is bounded, and its end is no empty answer."""
    world.leave_open(0, [OutgoingRecord(world.alerts, b"camera", b"half", partition=0)])
    with pytest.raises(BrokerError):
        world.history(open_transaction_seconds=0.3).recent([0], time.time_ns() - MINUTE_NS)
