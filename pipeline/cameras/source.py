"""What a fleet needs of the outside: a camera's pictures in order, and somewhere to send frames."""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol

SECOND_NS: Final = 10**9


class Picture(NamedTuple):
    """One picture of a camera, ready to be sent."""

    offset_ns: int
    """Intended capture instant in nanoseconds after the camera's start, 0 or more, never falling."""
    jpeg: bytes


class Absence(Enum):
    """Why a source has no picture to give."""

    NOT_YET = "not yet"
    """The next one is being decoded; ask again soon. When it comes, it keeps its intended instant."""
    ENDED = "ended"
    """There will be none any more."""


class PictureSource(Protocol):
    """The pictures of one camera, in the order of their intended instants."""

    def take(self) -> Picture | Absence:
        """The next picture, at once; raises InputError if what it is read from can't be read any further."""

    def close(self) -> None:
        """Stop what prepares pictures and free them."""


class FrameSender(Protocol):
    """Takes frames without ever waiting; one thread uses it."""

    def send(
        self,
        partition: int,
        key: bytes,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
        on_delivery: Callable[[bool], None] | None = None,
    ) -> bool:
        """Hand one frame over; False if it failed at once. Otherwise `on_delivery` is told later whether it arrived."""

    def serve(self, timeout: float = 0.0) -> None:
        """Tell the callbacks what became of frames; waits up to `timeout` seconds, less if there is news."""

    def flush(self, deadline: float) -> int:
        """Wait up to `deadline` seconds for what is under way; returns how many frames still are."""

    def close(self) -> None:
        """Give up what is under way, telling its callbacks, and free the connection."""
