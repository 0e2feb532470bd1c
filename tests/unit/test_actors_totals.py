"""The totals of a run: of all processes that there ever were, in the space of those that there are."""

import time

import msgspec
import pytest

from pipeline.actors.report import SECONDS_KEPT, SecondReport, WorkReport
from pipeline.actors.totals import Totals
from pipeline.actors.vision_worker import WorkerStatus
from pipeline.core.latency import LatencySketch


def said(slot: int, pid: int, node: str = "here", frames: int = 1, seconds: tuple[int, ...] = ()) -> WorkerStatus:
    """The status of a process that has processed `frames` and committed one in each of `seconds`."""
    sketch = LatencySketch()
    sketch.add(1.0)
    work = WorkReport(
        outcomes={"processed": frames}, seconds={second: SecondReport(sketch, sketch, 1) for second in seconds}
    )
    return WorkerStatus(slot, pid, "running", "", 1, True, "", 0, node, {}, msgspec.msgpack.encode(work))


def summed(totals: Totals, since_second: int = 0) -> WorkReport:
    """The sum as the command gets it."""
    return msgspec.msgpack.decode(totals.summed(since_second), type=WorkReport)


def test_a_process_counts_once_however_often_it_reports() -> None:
    """Its totals are cumulative."""
    totals = Totals()
    for frames in (1, 5, 9):
        totals.take_in(said(0, 1, frames=frames))
    assert summed(totals).outcomes == totals.outcomes() == {"processed": 9}


@pytest.mark.parametrize("successor", [("here", 2), ("there", 1)], ids=["process", "node"])
def test_a_process_that_was_replaced_still_counts(successor: tuple[str, int]) -> None:
    """Also by one that has the same id on another node."""
    totals = Totals()
    totals.take_in(said(0, 1, frames=5))
    node, pid = successor
    totals.take_in(said(0, pid, node, frames=2))
    totals.take_in(said(0, pid, node, frames=3))
    assert summed(totals).outcomes == totals.outcomes() == {"processed": 8}


def test_the_latest_seconds_are_kept_over_a_replacement_and_older_ones_are_not() -> None:
    """They are asked for by second, and what is older than a series needs would grow with the run."""
    totals, now = Totals(), int(time.time())
    totals.take_in(said(0, 1, seconds=(now - 2 * SECONDS_KEPT, now)))
    totals.take_in(said(0, 2, seconds=(now, now + 1)))
    assert {second: report.alerts for second, report in summed(totals).seconds.items()} == {now: 2, now + 1: 1}
    assert set(summed(totals, now + 1).seconds) == {now + 1}
    assert (totals.oldest(now), totals.oldest(now + 2)) == (1.0, None)


def test_what_is_kept_does_not_grow_with_the_number_of_processes() -> None:
    """A pool that swings all day uses its slots again and again."""
    totals = Totals()
    for pid in range(200):
        totals.take_in(said(pid % 2, pid))
    assert len(list(totals._all())) == 3
    assert totals.outcomes() == {"processed": 200}
