"""What holds for every outbox: all of a batch or nothing of it, and nothing from the past."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.errors import Fenced, TransactionAborted
from pipeline.records import Batch, OutgoingRecord

PollUntil = Callable[..., list[Batch]]


def alert(world: Any, value: bytes, partition: int = 0) -> OutgoingRecord:
    """A record for the topic of alerts."""
    return OutgoingRecord(world.alerts, b"camera", value, (("h", b"1"),), partition)


def test_records_and_offsets_are_committed_together(world: Any, poll_until: PollUntil) -> None:
    """Both are there afterwards, for readers and for a rewind."""
    world.append(0, b"frame")
    source, outbox = world.source(), world.outbox()
    (batch,) = poll_until(len, source)
    outbox.commit([alert(world, b"a"), alert(world, b"b", 1)], {0: 1}, batch.membership)
    assert sorted(map(str, world.values(world.alerts))) == ["b'a'", "b'b'"]
    assert source.rewind()[0] == 1


def test_transactions_follow_one_another(world: Any, poll_until: PollUntil) -> None:
    """One outbox commits many times, each after the one before."""
    world.append(0, b"frame")
    source, outbox = world.source(), world.outbox()
    (batch,) = poll_until(len, source)
    for number in range(5):
        outbox.commit([alert(world, b"%d" % number)], {0: 1}, batch.membership)
    assert world.values(world.alerts) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_batch_of_a_partition_that_was_given_up_is_rolled_back(
    world: Any, make_calls: Any, poll_until: PollUntil
) -> None:
    """Nothing of it is seen, the outbox goes on, and the new owner's commit counts."""
    for partition in (0, 1):
        world.append(partition, b"frame")
    ours, theirs = make_calls(), make_calls()
    first, outbox, successor = world.source(ours), world.outbox(0), world.outbox(1)
    old = poll_until(lambda got: sum(len(b.records) for b in got) >= 2, first)[-1]
    second = world.source(theirs)
    given = poll_until(lambda got: theirs.owned and got and got[-1].records, first, second)
    (lost,) = theirs.owned
    with pytest.raises(TransactionAborted):
        outbox.commit([alert(world, b"stale")], {lost: 1}, old.membership)
    (kept,) = ours.owned
    fresh = [batch for batch in given if batch.records[0].partition == lost] or poll_until(len, second)
    successor.commit([alert(world, b"fresh")], {lost: 1}, fresh[-1].membership)
    assert world.values(world.alerts) == [b"fresh"]
    assert first.rewind() == {kept: 0}
    assert second.rewind() == {lost: 1}


def test_after_a_rollback_the_next_transaction_counts(world: Any, make_calls: Any, poll_until: PollUntil) -> None:
    """An abort ends the transaction, not the outbox."""
    for partition in (0, 1):
        world.append(partition, b"frame")
    ours, theirs = make_calls(), make_calls()
    first, outbox = world.source(ours), world.outbox()
    old = poll_until(lambda got: sum(len(b.records) for b in got) >= 2, first)[-1]
    second = world.source(theirs)
    poll_until(lambda _: theirs.owned and len(ours.owned) == 1, first, second)
    (lost,), (kept,) = theirs.owned, ours.owned
    with pytest.raises(TransactionAborted):
        outbox.commit([alert(world, b"stale")], {lost: 1}, old.membership)
    first.rewind()
    again = poll_until(lambda got: got and got[-1].records, first)[-1]
    outbox.commit([alert(world, b"again")], {kept: 1}, again.membership)
    assert world.values(world.alerts) == [b"again"]


def test_a_successor_fences_its_predecessor(world: Any, poll_until: PollUntil) -> None:
    """The old one's commit raises Fenced and leaves nothing; the new one goes on."""
    world.append(0, b"frame")
    source, old = world.source(), world.outbox()
    (batch,) = poll_until(len, source)
    new = world.outbox()
    with pytest.raises(Fenced):
        old.commit([alert(world, b"old")], {0: 1}, batch.membership)
    new.commit([alert(world, b"new")], {0: 1}, batch.membership)
    assert world.values(world.alerts) == [b"new"]
    old.close()


def test_a_successor_ends_the_transaction_that_a_dead_worker_left_open(world: Any) -> None:
    """Readers of committed records get past it and never see it."""
    world.leave_open(0, [alert(world, b"half")])
    world.append(0, b"later", world.alerts)
    world.outbox(0)
    assert world.values(world.alerts) == [b"later"]


def test_a_transaction_without_offsets_needs_no_membership(world: Any) -> None:
    """Records alone are committed as well."""
    world.outbox().commit([alert(world, b"a")], {}, None)
    assert world.values(world.alerts) == [b"a"]
