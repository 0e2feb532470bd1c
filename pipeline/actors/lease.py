"""Watches a lease that a process must see renewed, or else it ends itself."""

import os
import threading
import time
from collections.abc import Callable

from pipeline.core.deadlines import Lease

EXIT_WITHOUT_LEASE = 75
"""Exit status of a process that ended because nobody renewed its lease (EX_TEMPFAIL of sysexits.h)."""


def end_within(seconds: float) -> None:
    """End this process by then, though what it tidies up until then may hang on a broker or a cluster that is gone."""
    limit = threading.Timer(seconds, os._exit, (EXIT_WITHOUT_LEASE,))
    limit.daemon = True
    limit.start()


class LeaseWatch:
    """Calls `expired` once, from its own thread, when `renew` has not been called for `seconds`."""

    def __init__(self, seconds: float, expired: Callable[[], None]) -> None:
        self._lease = Lease(time.monotonic(), seconds)
        self._expired = expired
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="lease", daemon=True).start()

    def renew(self) -> None:
        """Start the seconds again."""
        self._lease = self._lease.renew(time.monotonic())

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(min(1.0, self._lease.seconds / 4)):
            if self._lease.expired(time.monotonic()):
                self._expired()
                return
