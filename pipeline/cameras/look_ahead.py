"""Pictures prepared by a thread, a bounded number ahead of their use."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Final

from pipeline.cameras.source import Absence, Picture

DEPTH: Final = 32
"""Pictures kept ready for each camera, which bounds their memory to about 3 MB at 720p."""


class LookAhead:
    """A picture source that runs an iterator in a thread of its own; what the iterator raises comes out of `take`."""

    def __init__(self, pictures: Iterator[Picture], name: str, depth: int = DEPTH) -> None:
        self._pictures = pictures
        self._depth = depth
        self._ready: deque[Picture] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._closed = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._prepare, name=f"look-ahead {name}", daemon=True)
        self._thread.start()

    def wait_first(self) -> None:
        """Wait until the first picture is there; raises what the iterator raised instead of giving one."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended)
            if not self._ready and self._failure is not None:
                raise self._failure

    def take(self) -> Picture | Absence:
        """The next picture, at once."""
        with self._changed:
            if self._ready:
                self._changed.notify()
                return self._ready.popleft()
            if self._failure is not None:
                raise self._failure
            return Absence.ENDED if self._ended else Absence.NOT_YET

    def close(self) -> None:
        """End the thread after the picture it is at, and free what is ready."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._ready.clear()

    def _prepare(self) -> None:
        try:
            for picture in self._pictures:
                if not self._put(picture):
                    break
        except Exception as error:  # noqa: BLE001 - handed to the thread that takes pictures
            self._failure = error
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _put(self, picture: Picture) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._ready) < self._depth)
            self._ready.append(picture)
            self._changed.notify()
            return not self._closed
