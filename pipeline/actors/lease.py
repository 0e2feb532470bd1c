"""A lease that a process must see renewed, or else it ends itself."""

import threading
import time
from collections.abc import Callable


class Lease:
    """Calls `expired` once, from its own thread, when `renew` has not been called for `seconds`."""

    def __init__(self, seconds: float, expired: Callable[[], None]) -> None:
        self._seconds = seconds
        self._expired = expired
        self._renewed = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lease", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """Start the seconds again."""
        self._renewed = time.monotonic()

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(min(1.0, self._seconds / 4)):
            if time.monotonic() - self._renewed > self._seconds:
                self._expired()
                return
