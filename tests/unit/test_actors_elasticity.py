"""What an elastic pool observes of its workers, and what it tells of those that left."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from elastic_run import SCALING, Means, Rule

from pipeline.actors import child, elastic
from pipeline.actors.elastic import Elasticity, ElasticPlan
from pipeline.actors.pool import Pool
from pipeline.actors.report import SecondReport, WorkReport
from pipeline.actors.totals import Totals
from pipeline.actors.vision_worker import WorkerStatus
from pipeline.core.latency import LatencySketch


def elasticity(totals: Totals) -> Elasticity:
    """That of a pool whose only slot has no process."""
    pool = Pool(lambda slot: child.Child(f"worker-{slot}", lambda: None, lambda _: _), 1)
    return Elasticity(ElasticPlan(SCALING, Means(), 20.0), pool, totals, threading.Lock(), lambda: True)


def test_a_bad_parting_is_told_of_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pool that has its size for hours is not in trouble; the log keeps it."""
    measured = elasticity(Totals())
    measured.note_parting("worker-1 left: it did not end in time")
    assert measured.status().trouble == "worker-1 left: it did not end in time"
    later = time.monotonic() + elastic.TOLD_SECONDS
    monkeypatch.setattr(elastic, "time", SimpleNamespace(monotonic=lambda: later))
    assert measured.status().trouble == ""
    assert "it did not end in time" in caplog.text


def second_with(*ages: float) -> SecondReport:
    """One second of frames of these queue ages."""
    sketch = LatencySketch()
    for age in ages:
        sketch.add(age)
    return SecondReport(queue_age=sketch)


def test_an_observation_is_what_the_workers_report_and_the_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes are those of all processes, the age is the greatest of the last two seconds, and nobody runs here."""
    totals = Totals()
    now = int(time.time())
    for slot, outcomes, seconds in (
        (0, {"processed": 5, "shed": 2}, {now - 60: second_with(50.0), now: second_with(0.5, 3.0)}),
        (1, {"processed": 1, "expired": 4}, {now: SecondReport()}),
    ):
        work = msgspec.msgpack.encode(WorkReport(outcomes=outcomes, seconds=seconds))
        totals.take_in(WorkerStatus(slot, 1, "running", "", 1, True, "", 0, "here", {}, work))
    assert totals.oldest(now) == 3.0
    assert totals.oldest(now + 1) is None
    rule, stopping = Rule(SCALING, 1), threading.Event()
    monkeypatch.setattr(elastic, "Scaler", lambda *_: rule)
    measuring = threading.Thread(target=elasticity(totals).run, args=(stopping,))
    measuring.start()
    while not rule.seen:
        stopping.wait(0.01)
    stopping.set()
    measuring.join(5.0)
    seen: Any = rule.seen[0]
    assert (seen.running, seen.lag, seen.ended, seen.processed, seen.shed, seen.age) == (0, 7, 12, 6, 2, 3.0)
    assert 0.0 <= time.monotonic() - seen.at < 5.0
