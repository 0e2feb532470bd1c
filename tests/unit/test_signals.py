"""Signals as a request to end, and who handles them while Ray connects."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.runtime import supervision
from pipeline.runtime.signals import EndRequest
from pipeline.runtime.supervision import connected


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Whatever a test does to them is undone."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_interrupts(number: int) -> None:
    """Who is asked to end drains first; who is asked twice ends."""
    with EndRequest(20.0) as end:
        assert not end.received
        os.kill(os.getpid(), number)
        assert end.received == number
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_the_time_that_is_left_runs_from_the_first_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that has to be finished shares it."""
    now = 100.0
    monkeypatch.setattr("pipeline.runtime.signals.time.monotonic", lambda: now)
    with EndRequest(20.0) as end:
        now = 1000.0
        assert end.left == 20.0
        os.kill(os.getpid(), signal.SIGTERM)
        now = 1015.0
        assert end.left == 5.0
        now = 1021.0
        assert end.left == 0.0


def test_the_handlers_of_before_are_put_back() -> None:
    """A signal after the block is somebody else's."""
    before = signal.getsignal(signal.SIGTERM)
    with EndRequest(20.0):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def ray_that_connects(monkeypatch: pytest.MonkeyPatch, meanwhile: Any = lambda: None) -> None:
    """Replace ray.init by what it does to SIGTERM."""

    def init(**_: object) -> None:
        signal.signal(signal.SIGTERM, lambda number, _: exit(number))  # noqa: PLR1722  # as Ray does
        meanwhile()

    monkeypatch.setattr(supervision.ray, "init", init)
    monkeypatch.setattr(supervision.ray, "shutdown", lambda: None)


def test_a_signal_right_after_ray_has_connected_is_a_request_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own handler would exit with code 15 and drain nothing."""
    ray_that_connects(monkeypatch)
    with EndRequest(20.0) as end, connected("auto", "run", verbose=False):
        os.kill(os.getpid(), signal.SIGTERM)
        assert end.received == signal.SIGTERM


def test_a_signal_while_ray_connects_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to finish yet; what was started is ended by whoever started it."""
    ray_that_connects(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), connected("auto", "run", verbose=False):
        pass
    assert signal.getsignal(signal.SIGTERM) is before
