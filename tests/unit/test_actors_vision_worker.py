"""The shell of a vision worker, in this process: it answers at any time, drains when asked, and ends with its lease."""

import threading
from collections.abc import Callable

import msgspec
import pytest
from memory_run import MemoryRun

from pipeline.actors import lease, vision_worker
from pipeline.actors.report import WorkReport
from pipeline.actors.vision_worker import VisionWorker, WorkerParts, WorkerStatus
from pipeline.errors import BrokerError, ClusterError, CustodyError, Fenced, ModelError
from pipeline.testing.clock import FakeClock

Eventually = Callable[..., None]

LEASE_SECONDS = 60.0


class Made:
    """A factory over a run in memory that remembers what it closed."""

    def __init__(self, run: MemoryRun, **options: object) -> None:
        self._run = run
        self._options = options
        self.closed = 0

    def __call__(self, slot: int) -> WorkerParts:
        """Parts whose loop the actor starts."""
        worker = self._run.unstarted(slot, **self._options)
        return WorkerParts(worker.loop, worker.ledger, worker.trace, 1234, self._close)

    def _close(self) -> None:
        self.closed += 1


def test_status_holds_what_was_done(run: MemoryRun, eventually: Eventually) -> None:
    """State, port, lag and totals, cumulative, so that asking twice counts nothing twice."""
    actor = VisionWorker(3, Made(run), LEASE_SECONDS)
    run.send(1)
    eventually(lambda: _work(actor).alerts == 1)
    status = actor.status()
    assert (status.slot, status.state, status.failure, status.metrics_port) == (3, "running", "", 1234)
    assert _work(actor).outcomes == {"processed": 1}
    assert _work(actor).outcomes == {"processed": 1}
    assert {span.stage for span in actor.trace()} >= {"consume", "embed", "commit"}
    actor.stop(5.0)


def test_stop_drains_closes_and_says_so_once(run: MemoryRun, eventually: Eventually) -> None:
    """The last status holds everything; a second stop changes nothing."""
    made = Made(run)
    actor = VisionWorker(0, made, LEASE_SECONDS)
    run.send(1)
    eventually(lambda: run.settled)
    assert stopped(actor).state == "stopped"
    assert stopped(actor).state == "stopped"
    assert made.closed == 1
    run.send(1)
    assert not run.settled


def test_a_drain_that_did_not_end_in_time_is_a_failure(run: MemoryRun, eventually: Eventually) -> None:
    """Said with what it means, and everything is freed all the same."""
    made = Made(run)
    actor = VisionWorker(3, made, LEASE_SECONDS)
    run.gallery.stay_away(10**9)
    run.send(1)
    eventually(lambda: {span.stage for span in actor.trace()} >= {"embed"})
    status = stopped(actor, deadline_seconds=0.1)
    assert (status.state, status.failure_exit_code) == ("failed", ClusterError.exit_code)
    assert status.failure.startswith("worker slot 3 did not finish what it held within 0.1 s")
    assert made.closed == 1
    assert not run.settled


@pytest.mark.parametrize(
    ("error", "recoverable", "code"),
    [
        (BrokerError("Kafka went away"), True, 4),
        (ModelError("weights are missing"), False, 7),
        (Fenced("another run uses the name"), False, 4),
        (ZeroDivisionError("a fault"), True, 1),
    ],
)
def test_what_cannot_be_built_is_said(
    run: MemoryRun, eventually: Eventually, error: Exception, recoverable: bool, code: int
) -> None:
    """With its exit code, and whether another try may help."""

    def factory(_: int) -> WorkerParts:
        raise error

    actor = VisionWorker(0, factory, LEASE_SECONDS)
    eventually(lambda: actor.status().state == "failed")
    status = actor.status()
    assert (status.recoverable, status.failure_exit_code) == (recoverable, code)
    assert str(error) in status.failure
    assert stopped(actor).state == "failed"


def test_a_loop_that_failed_makes_the_worker_failed(run: MemoryRun, eventually: Eventually) -> None:
    """Frames that are not accounted for are no matter of a second try."""
    for _ in range(3):
        run.send(1)
    actor = VisionWorker(0, Made(run, drops=((0, 1),)), LEASE_SECONDS)
    eventually(lambda: actor.status().state == "failed")
    status = actor.status()
    assert (status.recoverable, status.failure_exit_code) == (False, CustodyError.exit_code)
    assert "partition 0" in status.failure
    assert stopped(actor).state == "failed"


def test_a_worker_nobody_renews_drains_and_ends_its_process(
    run: MemoryRun, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renewed it goes on; then it finishes what is in hand, leaves the group and exits with its own code."""
    exits: list[int] = []
    limits: list[float] = []
    clock = FakeClock()
    monkeypatch.setattr(lease, "time", clock)
    monkeypatch.setattr(vision_worker.os, "_exit", exits.append)
    monkeypatch.setattr(vision_worker, "end_within", limits.append)
    made = Made(run)
    actor = VisionWorker(0, made, 1.0)
    for _ in range(3):
        clock.advance(0.9)
        actor.renew()
    run.send(1)
    eventually(lambda: run.settled)
    assert exits == []
    clock.advance(1.1)
    eventually(lambda: exits == [vision_worker.EXIT_WITHOUT_LEASE])
    assert made.closed == 1
    assert limits == [2 * vision_worker.LEASE_DRAIN_SECONDS]
    run.send(2)
    assert not run.settled


def test_a_worker_that_is_still_starting_answers(run: MemoryRun, eventually: Eventually) -> None:
    """Loading takes its time; status() does not wait for it."""
    go = threading.Event()
    made = Made(run)

    def slow(slot: int) -> WorkerParts:
        assert go.wait(20.0)
        return made(slot)

    actor = VisionWorker(0, slow, LEASE_SECONDS)
    assert (actor.status().state, actor.status().work, actor.trace()) == ("starting", b"", [])
    go.set()
    eventually(lambda: actor.status().state == "running")
    actor.stop(5.0)


def stopped(actor: VisionWorker, deadline_seconds: float = 5.0) -> WorkerStatus:
    """The last word of a worker that was asked to stop."""
    return msgspec.msgpack.decode(actor.stop(deadline_seconds).content, type=WorkerStatus)


def _work(actor: VisionWorker) -> WorkReport:
    work = actor.status().work
    return msgspec.msgpack.decode(work, type=WorkReport) if work else WorkReport()
