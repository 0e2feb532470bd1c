"""What ``lamppost run`` says of the run that it shows, and how long it waits for it; Kafka and Ray are not there."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from pipeline.actors.report import WorkReport
from pipeline.actors.run_plan import RunStatus
from pipeline.errors import ClusterError
from pipeline.runtime import composition, supervision
from pipeline.runtime import run as job
from pipeline.runtime.run import greeting, run
from pipeline.runtime.settings import Kafka, Lifecycle, Settings

SETTINGS = Settings(kafka=Kafka(brokers="kafka:9092"), lifecycle=Lifecycle(start_seconds=0.5, drain_seconds=7.0))


def test_a_run_that_was_started_is_named_with_group_and_kafka() -> None:
    """In one line, with where its metrics are."""
    (line,) = greeting(SETTINGS, "north", False, "http://m")
    assert line == "run north started, group lamppost on kafka:9092; metrics are listed at http://m"


def test_an_adopted_run_is_said_to_keep_its_settings() -> None:
    """Neither this command's group nor its workers are what runs, so they are not named either."""
    first, second = greeting(SETTINGS, "north", True, "http://m")
    assert first == "run north adopted; metrics are listed at http://m"
    assert "settings of north stay those that it was started with" in second


class Supervision:
    """A run whose processes come up or not."""

    def __init__(self, awaited: int, adopted: bool = False) -> None:
        self.adopted = adopted
        self.stopped: list[float] = []
        self.looked: Callable[[int], None] = lambda _: None
        self._looks = 0
        work = msgspec.msgpack.encode(WorkReport())
        self._status = RunStatus(
            pid=1,
            workers=[],
            shards=[],
            awaited=awaited,
            replaced=0,
            last_replaced="",
            failure="",
            failure_exit_code=1,
            work=work,
        )

    def status(self) -> RunStatus:
        """The same at each look."""
        self._looks += 1
        self.looked(self._looks)
        return self._status

    def stop(self, drain_seconds: float) -> RunStatus:
        """Note the time that there was for it."""
        self.stopped.append(drain_seconds)
        return self._status


def beside(monkeypatch: pytest.MonkeyPatch, supervised: Supervision) -> None:
    """Put the run in the place of everything that the command reaches for."""

    @contextmanager
    def services(*_: Any) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(ray_ready=True, ray_address="auto", ray=None, check=lambda: None)

    monkeypatch.setattr(job, "probe", lambda _: SimpleNamespace(require=lambda _: None))
    monkeypatch.setattr(job, "require_topics", lambda _: 4)
    monkeypatch.setattr(job, "services", services)
    monkeypatch.setattr(composition, "run_plan", lambda *_, **__: None)
    monkeypatch.setattr(supervision, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(supervision, "cluster_gpus", lambda: 0)
    monkeypatch.setattr(supervision, "supervised", lambda _: nullcontext(supervised))


def test_a_run_that_does_not_come_up_ends_with_what_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that Ray never places would be waited for in silence otherwise."""
    beside(monkeypatch, Supervision(awaited=2))
    with pytest.raises(ClusterError, match=r"lifecycle\.start_seconds.*workers and shards \(2 have not answered yet\)"):
        run(SETTINGS, verbose=False)


def test_an_adopted_run_is_shown_until_a_signal_and_drained_with_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The signal comes at the third look; the drain has the rest of its seconds."""
    shown = Supervision(awaited=0, adopted=True)
    shown.looked = lambda look: os.kill(os.getpid(), signal.SIGTERM) if look == 3 else None
    beside(monkeypatch, shown)
    assert run(SETTINGS, verbose=False) == 0
    (left,) = shown.stopped
    assert 5.0 < left < 7.0
    said = capsys.readouterr().out
    assert "adopted; metrics are listed at http://127.0.0.1:" in said
    assert "stay those that it was started with" in said
