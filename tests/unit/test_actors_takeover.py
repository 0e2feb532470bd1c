"""Partitions that change hands: a revocation waits for the transaction in flight, and the cool-down goes along."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from memory_run import MemoryRun, Worker

from pipeline.records import OutgoingRecord
from pipeline.testing.outbox import FakeOutbox

Eventually = Callable[..., None]


def hand_over(run: MemoryRun, wishes: dict[int, Worker]) -> None:
    """Let the group want these owners."""
    with run.broker.changed:
        run.group.rebalance({partition: worker.member for partition, worker in wishes.items()})
        run.broker.changed.notify_all()


def joined(run: MemoryRun, eventually: Eventually, **options: Any) -> tuple[Worker, Worker]:
    """Two workers, the first with both partitions and the second with none yet."""
    first = run.worker(0, **options)
    eventually(lambda: first.owns(0, 1))
    second = run.worker(1)
    eventually(lambda: second.member)
    hand_over(run, {0: first, 1: first})
    eventually(lambda: first.owns(0, 1) and second.owns())
    return first, second


def test_a_takeover_keeps_the_cool_down(run: MemoryRun, eventually: Eventually) -> None:
    """A pass that began with one worker and goes on with another has one alert; the next pass has its own."""
    first, second = joined(run, eventually)
    for _ in range(5):
        run.send(4)
    eventually(lambda: run.settled)
    hand_over(run, {0: second})
    eventually(lambda: second.owns(0) and first.owns(1))
    for _ in range(5):
        run.send(4)
    eventually(lambda: run.settled)
    assert [(alert.slot, alert.sequence) for alert in run.alerts] == [(0, 0)]
    assert second.work.places["cam/0"].frames == 5
    run.send(4, seconds=30.0)
    eventually(lambda: run.settled)
    assert [(alert.slot, alert.sequence) for alert in run.alerts] == [(0, 0), (1, 10)]
    assert run.audit().balanced


def test_a_predecessor_killed_before_its_commit_leaves_one_alert(run: MemoryRun, eventually: Eventually) -> None:
    """Its open transaction is aborted by the successor of the slot, which reads the frames again."""
    dead = run.worker(0)
    eventually(lambda: dead.owns(0, 1))
    run.send(4)
    eventually(lambda: run.settled)
    assert dead.loop.stop(5.0)
    lost = run.alerts[0]
    run.outbox(0).begin([OutgoingRecord("alerts", lost.camera.encode(), b"half a transaction", (), 0)])
    run.send(4)
    run.send(6)
    successor = run.worker(0)
    eventually(lambda: run.settled)
    assert run.alerted == [("cam/0", "person-4"), ("cam/0", "person-6")]
    assert successor.work.places["cam/0"].frames == 2
    assert run.audit().balanced


class HeldOutbox(FakeOutbox):
    """Commits, from when it is told to hold, only while it is let; notes the order of what happens."""

    def __init__(self, run: MemoryRun, events: list[str]) -> None:
        super().__init__(run.broker, topic="frames", transactional_id="run.worker-0")
        self._events = events
        self.waiting = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def commit(self, records: Sequence[OutgoingRecord], offsets: Mapping[int, int], membership: Any) -> None:
        """See the port."""
        if not self.free.is_set():
            self.waiting.set()
            assert self.free.wait(20.0)
        super().commit(records, offsets, membership)
        self._events.append(f"committed {dict(offsets)}")


def test_a_revocation_waits_for_the_transaction_in_flight(run: MemoryRun, eventually: Eventually) -> None:
    """It is committed first; whatever else was in flight is dropped and read by the new owner."""
    events: list[str] = []
    outbox = HeldOutbox(run, events)
    first, second = joined(
        run, eventually, outbox=outbox, batch_limit=1, on_revoked=lambda: events.append("gave up partitions")
    )
    events.clear()
    outbox.free.clear()
    for _ in range(3):
        run.send(7)
    assert outbox.waiting.wait(20.0)
    eventually(lambda: sum(span.stage == "decode" for span in first.trace.spans) == 3, "three batches in flight")
    before = first.source.assignment  # type: ignore[union-attr]  # it has been opened
    hand_over(run, {0: second})
    eventually(lambda: first.source.assignment > before, "the revocation")  # type: ignore[union-attr]  # as above
    assert events == []
    assert not second.owns(0)
    outbox.free.set()
    eventually(lambda: run.settled)
    assert events[:2] == ["committed {0: 1}", "gave up partitions"]
    assert (run.receipts[0].slot, {receipt.slot for receipt in run.receipts[1:]}) == (0, {1})
    assert [(alert.slot, alert.sequence) for alert in run.alerts] == [(0, 0)]
    assert run.audit().balanced


def test_a_member_thrown_out_commits_nothing_more(run: MemoryRun, eventually: Eventually) -> None:
    """Its transaction is refused for the membership that its batch was consumed with, and it joins again."""
    events: list[str] = []
    outbox = HeldOutbox(run, events)
    first, second = joined(run, eventually, outbox=outbox, batch_limit=1)
    events.clear()
    outbox.free.clear()
    run.send(7)
    assert outbox.waiting.wait(20.0)
    gone = first.member
    with run.broker.changed:
        run.group.leave(gone)
        run.broker.changed.notify_all()
    eventually(lambda: first.member != gone, "a second entry into the group")
    hand_over(run, {0: second, 1: second})
    eventually(lambda: second.owns(0, 1))
    eventually(lambda: run.settled)
    outbox.free.set()
    eventually(lambda: first.work.aborted == 1)
    run.send(7)
    eventually(lambda: run.settled)
    assert events == []
    assert [(alert.slot, alert.sequence) for alert in run.alerts] == [(1, 0)]
    assert run.audit().balanced


@pytest.mark.parametrize("rounds", [8])
def test_partitions_that_keep_changing_hands_lose_and_double_nothing(
    run: MemoryRun, eventually: Eventually, rounds: int
) -> None:
    """With frames all the while, an aborted transaction now and then, and one pass over all of it."""
    first, second = joined(run, eventually, batch_limit=2)
    for number in range(rounds):
        owners = (first, second) if number % 2 else (second, first)
        hand_over(run, {0: owners[0], 1: owners[1]})
        run.broker.abort_next(number % 3 == 0)
        for _ in range(5):
            run.send(4, partition=0)
            run.send(5, partition=1)
    eventually(lambda: run.settled)
    assert run.audit().balanced
    assert run.alerted == [("cam/0", "person-4"), ("cam/1", "person-5")]
    assert (first.loop.failure, second.loop.failure) == (None, None)
