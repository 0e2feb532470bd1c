"""The worker's loop on a broker in memory: every frame gets one outcome, every pass one alert, whatever happens."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from memory_run import COOLDOWN_SECONDS, LISTED, MemoryRun, counts

from pipeline.actors import settlement
from pipeline.actors.failure import recoverable
from pipeline.actors.settlement import FRAME_LIFETIME_SECONDS, PRUNE_SECONDS
from pipeline.catalog import metrics
from pipeline.catalog.outcomes import Outcome
from pipeline.catalog.topics import DEAD_LETTERS, FRAMES
from pipeline.core.clocks import MOST_TOLERANCE_SECONDS
from pipeline.core.pressure import Policy
from pipeline.errors import BrokerError, Fenced
from pipeline.records import Batch, OutgoingRecord
from pipeline.testing.frame_source import FakeFrameSource
from pipeline.testing.pictures import jpeg
from pipeline.wire import dead_letters as dead_letter_wire

Eventually = Callable[..., None]


def test_one_pass_is_one_alert_until_the_cool_down_is_over(run: MemoryRun, eventually: Eventually) -> None:
    """Ten frames of a listed person alert once, with the first; the same person 30 s later alerts again."""
    run.worker()
    for _ in range(10):
        run.send(3)
    eventually(lambda: run.settled)
    assert [(alert.entry, alert.sequence) for alert in run.alerts] == [("person-3", 0)]
    run.send(3, seconds=29.0)
    run.send(3, seconds=2.0)
    eventually(lambda: run.settled)
    assert [(alert.entry, alert.sequence) for alert in run.alerts] == [("person-3", 0), ("person-3", 11)]
    assert run.audit().balanced


def test_people_and_cameras_have_cool_downs_of_their_own(run: MemoryRun, eventually: Eventually) -> None:
    """Two listed people in one picture alert both, at each camera; who is not listed never does."""
    run.worker()
    for partition in (0, 1):
        for _ in range(3):
            run.send(1, 2, 12, partition=partition)
    eventually(lambda: run.settled)
    assert run.alerted == [(camera, entry) for camera in ("cam/0", "cam/1") for entry in ("person-1", "person-2")]


def test_totals_and_metrics_say_what_was_done(run: MemoryRun, eventually: Eventually) -> None:
    """Frames, faces and alerts per camera, every stage measured once per batch, and no lag left."""
    worker = run.worker(batch_limit=1)
    for _ in range(5):
        run.send(1, 12)
    eventually(lambda: worker.work.batches == 5)
    place = worker.work.places["cam/0"]
    assert (place.frames, place.faces, place.alerts, place.shed) == (5, 10, 1, 0)
    assert (worker.work.faces, worker.work.alerts, worker.work.alert_latency.count) == (10, 1, 1)
    told = worker.telemetry
    assert told.value(metrics.FRAMES, outcome="processed", place="cam/0") == 5
    for stage in ("consume", "decode", "detect", "embed", "search", "commit"):
        assert len(told.observations(metrics.STAGE_SECONDS, stage=stage)) == 5, stage
    eventually(lambda: worker.loop.lag == {0: 0, 1: 0})


def test_retention_that_was_faster_is_an_outcome(run: MemoryRun, eventually: Eventually) -> None:
    """Offsets below the log start are expired, counted and committed like a batch."""
    for _ in range(6):
        run.send(12)
    run.worker(batch_limit=2)
    eventually(lambda: run.settled)
    with run.broker.changed:
        for _ in range(6):
            run.send(12)
        run.broker.delete_below(FRAMES, 0, 9)
    eventually(lambda: run.settled)
    assert run.coverage.counts[Outcome.EXPIRED] == 3
    assert run.audit().balanced


def test_garbage_is_dead_lettered_and_the_loop_goes_on(run: MemoryRun, eventually: Eventually) -> None:
    """Records that are no frame, and pictures that do not decode: their metadata is kept, never their bytes."""
    canary = b"canary-of-the-payload"
    worker = run.worker(batch_limit=3)
    run.send(1)
    run.broker.add(OutgoingRecord(FRAMES, b"cam/0", canary, (), 0))
    run.broker.add(OutgoingRecord(FRAMES, None, None, (), 0))
    run.broker.add(OutgoingRecord(FRAMES, b"\xff\xfe", b"", (("schema-version", b"99"),), 0))
    run.send(picture=b"\xff\xd8\xff" + canary)
    run.send(picture=jpeg(1)[:200])
    run.send(2)
    eventually(lambda: run.settled)
    assert run.coverage.counts == counts(processed=2, dead_lettered=5)
    assert run.alerted == [("cam/0", "person-1"), ("cam/0", "person-2")]
    raw = run.broker.committed_records(DEAD_LETTERS)
    assert canary not in b"".join(record.value or b"" for record in raw)
    letters = [dead_letter_wire.decode(r.value, r.headers) for r in raw]
    assert [letter.offset for letter in letters] == [1, 2, 3, 4, 5]
    assert worker.loop.failure is None
    assert run.audit().balanced


def test_a_part_of_the_watchlist_is_said_in_receipt_and_alert(run: MemoryRun, eventually: Eventually) -> None:
    """Under `degrade` the result says which fraction was searched, and so does everything that follows from it."""
    run.gallery.fraction_searched = 0.5
    worker = run.worker()
    run.send(1)
    eventually(lambda: worker.work.batches)
    assert [alert.fraction_searched for alert in run.alerts] == [0.5]
    assert [receipt.fraction_searched for receipt in run.receipts] == [0.5]
    assert worker.telemetry.value(metrics.FRACTION_SEARCHED) == 0.5


def test_a_fenced_worker_ends_and_its_successor_does_the_work(run: MemoryRun, eventually: Eventually) -> None:
    """The loop stops with the failure said, out of the group, without having committed anything more."""
    worker = run.worker()
    run.send(1)
    eventually(lambda: run.settled)
    successor = run.outbox()
    run.send(2)
    eventually(lambda: isinstance(worker.loop.failure, Fenced))
    eventually(lambda: not run.group.is_member(worker.member))
    assert not run.settled
    assert worker.loop.stop(5.0)
    run.worker(outbox=successor)
    eventually(lambda: run.settled)
    assert run.alerted == [("cam/0", "person-1"), ("cam/0", "person-2")]
    assert run.audit().balanced


class DyingSource(FakeFrameSource):
    """A consumer with a fatal error, after a first batch."""

    def poll(self, timeout: float, limit: int | None = None) -> Batch | None:
        """See the port."""
        if self.assignment and self.lag()[0] == 0:
            raise BrokerError("Kafka at here: reading frames: fatal")
        return super().poll(timeout, limit)


def test_a_fatal_consumer_error_ends_the_loop(run: MemoryRun, eventually: Eventually) -> None:
    """With the broker's own words, and without a thread left."""
    run.send(1)
    worker = run.worker(source=DyingSource)
    eventually(lambda: isinstance(worker.loop.failure, BrokerError))
    assert worker.loop.stop(5.0)


@pytest.mark.parametrize("stage", ["decode", "detector", "embedder"])
def test_a_fault_in_any_stage_ends_the_loop_with_nothing_committed(
    run: MemoryRun, eventually: Eventually, stage: str
) -> None:
    """A fault of the program is no frame's fault: it ends the worker, and the frames stay for its successor."""

    class Broken:
        dimension, version = 128, "broken"

        def __call__(self, _: Any) -> Any:
            raise ZeroDivisionError(stage)

        detect = embed = __call__

    replaced: dict[str, Any] = {stage: Broken()}
    worker = run.worker(**replaced)
    run.send(1)
    eventually(lambda: isinstance(worker.loop.failure, ZeroDivisionError))
    assert worker.loop.stop(5.0)
    run.worker()
    eventually(lambda: run.settled)
    assert run.alerted == [("cam/0", "person-1")]


def test_a_worker_whose_client_never_returns_from_a_transaction_has_failed(
    run: MemoryRun, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is there and its group hears from it, so that nobody else would take its partitions."""
    released = threading.Event()

    class Hanging:
        def __init__(self, outbox: Any) -> None:
            self.close = outbox.close

        def commit(self, *_: Any) -> None:
            released.wait()

    monkeypatch.setattr(settlement, "HUNG_SECONDS", 0.2)
    worker = run.worker(outbox=Hanging(run.outbox()))
    assert worker.loop.failure is None
    run.send(1)
    eventually(lambda: isinstance(worker.loop.failure, BrokerError))
    assert "has not returned from a transaction" in str(worker.loop.failure)
    assert recoverable(worker.loop.failure)
    released.set()
    eventually(lambda: worker.loop.failure is None, "the watch to end with the transaction")


def test_untrusted_cameras_of_partitions_that_went_are_not_counted(run: MemoryRun, eventually: Eventually) -> None:
    """They are another worker's to count; those that are still read here count again with their next frame."""
    first = run.worker(0, policy=Policy.BLOCK)
    eventually(lambda: first.owns(0, 1))
    run.clock.advance(1.0)
    for partition in (0, 1):
        run.send(1, partition=partition, capture_behind=60.0)
    eventually(lambda: first.telemetry.value(metrics.CLOCK_UNTRUSTED) == 2)
    eventually(lambda: run.settled, "nothing that is read again")
    second = run.worker(1, policy=Policy.BLOCK)
    eventually(lambda: first.owns(0) and second.owns(1))
    eventually(lambda: first.telemetry.value(metrics.CLOCK_UNTRUSTED) == 0)
    run.send(1, partition=0, capture_behind=60.0)
    run.send(1, partition=1, capture_behind=60.0)
    for worker in (first, second):
        eventually(lambda worker=worker: worker.telemetry.value(metrics.CLOCK_UNTRUSTED) == 1)


def test_the_cool_down_forgets_what_no_frame_can_meet_any_more(run: MemoryRun, eventually: Eventually) -> None:
    """While frames come in, and not at assignments alone, which may be months apart."""
    worker = run.worker()
    for identity in LISTED:
        run.send(identity)
    eventually(lambda: worker.settlement.remembered == len(LISTED))
    run.send(12, seconds=COOLDOWN_SECONDS + FRAME_LIFETIME_SECONDS + 1.0)
    eventually(lambda: run.settled)
    assert worker.settlement.remembered == len(LISTED), "a camera's clock may be behind by the greatest tolerance"
    run.send(12, seconds=max(MOST_TOLERANCE_SECONDS, PRUNE_SECONDS))
    eventually(lambda: worker.settlement.remembered == 0)
    assert run.audit().balanced


def test_a_worker_that_was_never_started_stops(run: MemoryRun) -> None:
    """There is nothing to wait for."""
    assert run.unstarted().loop.stop(0.0)
