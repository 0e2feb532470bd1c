"""What a demo does while it waits for its parts."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import ClusterError
from pipeline.runtime.demo import _Demonstration
from pipeline.runtime.settings import Lifecycle, Settings
from pipeline.runtime.startup import StartLimit


def demonstration(received: int = 0) -> tuple[Any, list[str]]:
    """A demo whose services and cameras are well, and what it says."""
    said: list[str] = []
    up = SimpleNamespace(check=lambda: None, settings=Settings(lifecycle=Lifecycle(start_seconds=0.2)))
    screen, end = SimpleNamespace(say=said.append), SimpleNamespace(received=received)
    made = _Demonstration("run", up, screen, end)  # type: ignore[arg-type]  # what it touches while it waits
    made._cameras = SimpleNamespace(check=lambda: None)  # type: ignore[assignment]  # as above
    return made, said


def test_a_demo_that_does_not_come_up_ends_with_what_is_awaited() -> None:
    """For as long it says the same."""
    made, said = demonstration()
    with pytest.raises(ClusterError, match=r"lifecycle\.start_seconds.*still awaited: worker-1 \(starting\)"):
        made._wait(lambda: {"worker-1": "starting"}, StartLimit(0.2))
    assert set(said) == {"starting: worker-1 (starting)"}


def test_a_demo_goes_on_when_nothing_is_awaited_any_more() -> None:
    """It looks again and again."""
    left = [{"streets": "1 of 2 pictures"}, {"streets": "2 of 2 pictures"}, {}]
    made, said = demonstration()
    made._wait(lambda: left.pop(0), StartLimit(60.0))
    assert said == ["starting: streets (1 of 2 pictures)", "starting: streets (2 of 2 pictures)"]


def test_a_signal_while_a_demo_starts_interrupts_it() -> None:
    """There is nothing to drain."""
    made, _ = demonstration(received=2)
    with pytest.raises(KeyboardInterrupt):
        made._wait(lambda: {"Kafka": ""})
