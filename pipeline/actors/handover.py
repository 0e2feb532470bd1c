"""Where two stages of a worker meet to hand a batch over: none waits between them, and nobody waits for ever."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

POLL_SECONDS = 0.1
"""How often somebody who waits looks whether it is over."""

T = TypeVar("T")


class Handover(Generic[T]):
    """From one thread to one other, once that is ready for it; `over` says that nothing more is to be handed on."""

    def __init__(self, over: Callable[[], bool]) -> None:
        self._over = over
        self._changed = threading.Condition()
        self._offered: list[T | None] = []
        """One at most."""

    def offer(self, item: T | None) -> bool:
        """Hand over within `POLL_SECONDS`, None for the end; returns whether it was taken."""
        with self._changed:
            self._offered.append(item)
            self._changed.notify()
            taken = self._changed.wait_for(lambda: not self._offered, POLL_SECONDS)
            self._offered.clear()
            return taken

    def give(self, item: T | None) -> None:
        """Hand over, waiting for the other thread until it is over."""
        while not self._over() and not self.offer(item):
            pass

    def take(self) -> T | None:
        """The next item, waiting for it; None at the end, or when it is over."""
        while not self._over():
            with self._changed:
                if self._changed.wait_for(lambda: self._offered, POLL_SECONDS):
                    item = self._offered.pop()
                    self._changed.notify()
                    return item
        return None
