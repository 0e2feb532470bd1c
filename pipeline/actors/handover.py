"""What two stages of a worker hand batches over through: one waits there at most, and nobody waits for ever."""

import queue
from collections.abc import Callable
from typing import Generic, TypeVar

POLL_SECONDS = 0.1
"""How often somebody who waits looks whether it is over."""

T = TypeVar("T")


class Handover(Generic[T]):
    """A queue of one from one thread to another; `over` says that nothing more is to be handed on."""

    def __init__(self, over: Callable[[], bool]) -> None:
        self._over = over
        self._queue: queue.Queue[T | None] = queue.Queue(maxsize=1)

    def offer(self, item: T | None) -> bool:
        """Hand over within `POLL_SECONDS`, None for the end; returns whether there was room."""
        try:
            self._queue.put(item, timeout=POLL_SECONDS)
        except queue.Full:
            return False
        return True

    def give(self, item: T | None) -> None:
        """Hand over, waiting for room until it is over."""
        while not self._over() and not self.offer(item):
            pass

    def take(self) -> T | None:
        """The next item, waiting for it; None at the end, or when it is over."""
        while not self._over():
            try:
                return self._queue.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
        return None
