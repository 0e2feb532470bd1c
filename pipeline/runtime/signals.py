"""SIGINT and SIGTERM as a request to end, which the command's own loop sees."""

import signal
from types import FrameType, TracebackType


class EndRequest:
    """Notes the first signal and lets the second interrupt; use it with `with`, after Ray has started.

    Ray installs handlers of its own when it connects, so those that are installed last must be these.
    """

    def __init__(self) -> None:
        self.received = 0
        """The signal's number; 0 while there was none."""
        self._before: dict[int, signal.Handlers | int | None] = {}

    def __enter__(self) -> "EndRequest":
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def install(self) -> None:
        """Put the handlers in place, again if another library has replaced them."""
        for number in (signal.SIGINT, signal.SIGTERM):
            previous = signal.signal(number, self._note)
            if number not in self._before:
                self._before[number] = previous  # type: ignore[assignment]  # signal's stubs know a callable only

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.received:
            raise KeyboardInterrupt
        self.received = number
