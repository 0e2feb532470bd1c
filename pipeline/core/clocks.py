"""Whether a camera's clock can be trusted: its capture times are held against the broker's append times.

Each frame is judged by itself, without hysteresis, for two reasons. A replay on another worker, which knows nothing of
the frames before, must judge the same. And a camera at the edge of the tolerance, which is now trusted and now not,
shifts by the tolerance at most when it changes from one clock to the other.
"""

from collections import OrderedDict
from typing import Final

MOST_TOLERANCE_SECONDS: Final = 30.0
"""The greatest tolerance: by as much a frame may be taken to be older than it has lain in Kafka."""
CAMERAS_REMEMBERED: Final = 100_000
"""More cameras than one worker serves; it bounds the memory against ids made up on the way in."""


def trusted(capture_ns: int, append_ns: int, tolerance_ns: int) -> bool:
    """Whether a capture time departs from the append time by no more than the tolerance, before or after it."""
    return abs(append_ns - capture_ns) <= tolerance_ns


class ClockTrust:
    """Judges frames, and counts the cameras whose latest frame was not trusted. Times are ns since the Unix epoch."""

    def __init__(self, tolerance_ns: int, limit: int = CAMERAS_REMEMBERED) -> None:
        """At most `limit` untrusted cameras are remembered; beyond it the one seen longest ago is dropped."""
        self._tolerance_ns = tolerance_ns
        self._limit = limit
        self._untrusted: OrderedDict[str, None] = OrderedDict()

    def observe(self, camera: str, capture_ns: int, append_ns: int) -> bool:
        """Whether this frame's capture time can be used; if not, its append time is to be used instead."""
        if trusted(capture_ns, append_ns, self._tolerance_ns):
            self._untrusted.pop(camera, None)
            return True
        self._untrusted[camera] = None
        self._untrusted.move_to_end(camera)
        if len(self._untrusted) > self._limit:
            self._untrusted.popitem(last=False)
        return False

    @property
    def untrusted(self) -> int:
        """Number of cameras whose latest frame was not trusted."""
        return len(self._untrusted)

    def forget(self) -> None:
        """Count anew: the cameras may be others from here on, and no judgement depends on earlier frames."""
        self._untrusted.clear()
