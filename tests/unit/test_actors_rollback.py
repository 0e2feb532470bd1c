"""The worker's loop after rolled back transactions: nothing is lost or doubled, and it does not try for ever."""

from collections.abc import Callable, Mapping

import pytest
from memory_run import MemoryRun

from pipeline.actors import batch_loop
from pipeline.actors.batch_loop import ABORTS_BEFORE_GIVING_UP
from pipeline.catalog import metrics
from pipeline.core.deadlines import Backoff
from pipeline.core.pressure import Policy
from pipeline.errors import BrokerError, TransactionAborted
from pipeline.records import Batch
from pipeline.testing.frame_source import FakeFrameSource

Eventually = Callable[..., None]


@pytest.mark.parametrize("aborts", [1, 3])
def test_an_aborted_transaction_loses_and_doubles_nothing(run: MemoryRun, eventually: Eventually, aborts: int) -> None:
    """The worker reads again from the committed offsets; alerts and receipts are there exactly once."""
    worker = run.worker(batch_limit=2)
    for _ in range(4):
        run.send(1)
    eventually(lambda: run.settled)
    run.broker.abort_next(aborts)
    for identity in (1, 2, 2, 3, 3, 3, 12):
        run.send(identity)
        run.send(identity, partition=1)
    eventually(lambda: run.settled)
    assert run.audit().balanced
    assert run.alerted == [(camera, f"person-{entry}") for camera in ("cam/0", "cam/1") for entry in (1, 2, 3)]
    assert len({alert.id for alert in run.alerts}) == 6
    assert worker.work.aborted == aborts
    assert worker.telemetry.value(metrics.TRANSACTIONS_ABORTED) == aborts


def test_an_aborted_alert_does_not_start_a_cool_down(run: MemoryRun, eventually: Eventually) -> None:
    """The pass whose first alert was rolled back is alerted by the same frame when it is read again."""
    run.broker.abort_next()
    run.worker(batch_limit=1)
    run.send(5)
    run.send(5)
    eventually(lambda: run.settled)
    assert [(alert.entry, alert.sequence) for alert in run.alerts] == [("person-5", 0)]


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rolled back transactions follow each other at once."""
    monkeypatch.setattr(batch_loop, "BACKOFF", Backoff(first=0.001, limit=0.001))


@pytest.mark.usefixtures("short_pauses")
def test_transactions_that_are_always_rolled_back_end_the_loop(run: MemoryRun, eventually: Eventually) -> None:
    """As without a topic or the right to write to it: the worker says so in place of trying for ever."""
    run.broker.abort_next(10**6)
    worker = run.worker()
    run.send(1)
    eventually(lambda: worker.loop.failure)
    with pytest.raises(BrokerError, match="rolled back: as the test wished; so were the 7 before it"):
        raise worker.loop.failure  # type: ignore[misc]  # it is there by now
    assert not isinstance(worker.loop.failure, TransactionAborted)
    assert worker.work.aborted == ABORTS_BEFORE_GIVING_UP
    assert worker.loop.stop(5.0)
    assert run.receipts == []


@pytest.mark.usefixtures("short_pauses")
def test_a_commit_between_ends_the_count_of_rolled_back_transactions(run: MemoryRun, eventually: Eventually) -> None:
    """They pass, however many there are in a long life."""
    worker = run.worker()
    for _ in range(3):
        run.broker.abort_next(ABORTS_BEFORE_GIVING_UP - 1)
        run.send(1)
        eventually(lambda: run.settled or worker.loop.failure)
    assert worker.loop.failure is None
    eventually(lambda: worker.loop.trouble == "")
    assert worker.work.aborted == 3 * (ABORTS_BEFORE_GIVING_UP - 1)
    assert run.audit().balanced


def test_a_pause_after_a_rollback_keeps_the_worker_in_its_group(
    run: MemoryRun, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on polling, says what it waits for, gives partitions up when asked to, and stops when told to."""
    monkeypatch.setattr(batch_loop, "BACKOFF", Backoff(first=1_000.0, limit=1_000.0))
    run.broker.abort_next()
    worker = run.worker(batch_limit=1, source=CountingSource, policy=Policy.BLOCK)
    for _ in range(12):
        run.send(1)
    eventually(lambda: worker.loop.trouble)
    assert "as the test wished" in worker.loop.trouble
    assert isinstance(worker.source, CountingSource)
    polls = worker.source.polls
    eventually(lambda: worker.source.polls > polls + 2)  # type: ignore[union-attr]  # as above
    second = run.worker(1, policy=Policy.BLOCK)
    eventually(lambda: second.owns(1), "a rebalance in the pause")
    assert worker.loop.stop(5.0)
    eventually(lambda: run.settled)
    assert run.audit().balanced


class ForgetfulSource(FakeFrameSource):
    """Is told by a coordinator of the past what was committed before the last batches."""

    def rewind(self) -> Mapping[int, int]:
        """See the port."""
        super().rewind()
        self._positions[0] = 1
        return dict(self._positions)


def test_an_offset_before_what_this_worker_has_committed_is_not_believed(
    run: MemoryRun, eventually: Eventually
) -> None:
    """It would work on those frames again; its successor asks anew."""
    worker = run.worker(source=ForgetfulSource)
    for _ in range(3):
        run.send(1)
    eventually(lambda: run.settled)
    run.broker.abort_next()
    run.send(2)
    eventually(lambda: worker.loop.failure)
    with pytest.raises(BrokerError, match=r"partition 0 of frames .* offset 1, and this worker has committed offset 3"):
        raise worker.loop.failure  # type: ignore[misc]  # it is there by now
    assert worker.loop.stop(5.0)
    run.worker()
    eventually(lambda: run.settled)
    assert run.alerted == [("cam/0", "person-1"), ("cam/0", "person-2")]
    assert run.audit().balanced


class CountingSource(FakeFrameSource):
    """Counts how often it is polled."""

    polls = 0

    def poll(self, timeout: float, limit: int | None = None) -> Batch | None:
        """See the port."""
        self.polls += 1
        return super().poll(timeout, limit)
