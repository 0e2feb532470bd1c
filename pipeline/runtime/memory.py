"""Watches the memory of a command and everything that it started."""

import os
import threading
from collections.abc import Callable

SAMPLE_SECONDS = 3.0


class MemoryPeak:
    """Samples the memory of this process and those below it until stopped; use it with `with`."""

    def __init__(self, measure: Callable[[int], int]) -> None:
        """`measure` gives the bytes of a process and its descendants."""
        self._measure = measure
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self.bytes = 0
        """Greatest sum seen so far."""

    def __enter__(self) -> "MemoryPeak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.bytes = max(self.bytes, self._measure(os.getpid()))
