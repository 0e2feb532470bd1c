"""SIGINT and SIGTERM as a request to end, which the command's own loop sees."""

import signal
import time
from types import FrameType, TracebackType

from pipeline.core.deadlines import Lease


class EndRequest:
    """Notes the first signal and lets the second interrupt; use it with `with`.

    `drain_seconds` is what everything that has to be finished may take together, from the first signal on.
    """

    def __init__(self, drain_seconds: float) -> None:
        self._drain_seconds = drain_seconds
        self._drain: Lease | None = None
        self.received = 0
        """The signal's number; 0 while there was none."""
        self._before: dict[int, signal.Handlers | int | None] = {}

    @property
    def left(self) -> float:
        """Seconds that are left for what has to be finished: all of them while there was no signal."""
        return self._drain_seconds if self._drain is None else self._drain.remaining(time.monotonic())

    def __enter__(self) -> "EndRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)  # type: ignore[assignment]  # the stubs' callable
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.received:
            raise KeyboardInterrupt
        self._drain = Lease(time.monotonic(), self._drain_seconds)
        self.received = number
