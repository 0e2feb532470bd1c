"""How the time for what has to be finished is shared at a demo's end, and when waiting for frames is over."""

import math
from typing import Final

STALL_SECONDS: Final = 15.0
"""Frames that are still unaccounted for when nothing moved for as long are given up."""
CAMERAS_SHARE: Final = 0.5
"""Share of what is left after a signal that frames under way may take to reach Kafka."""
WORKERS_SHARE: Final = 0.25
"""Share of the whole that is kept for the workers to finish what they hold."""
LEAST_SECONDS: Final = 5.0
"""What may be taken to read back from Kafka and to tidy up there, each, however little is left after a signal."""


class Draining:
    """One end of a demo; `left` is what remains of `drain_seconds`, all of it without a signal."""

    def __init__(self, drain_seconds: float) -> None:
        self._drain_seconds = drain_seconds
        self._least = math.inf
        self._moved = 0.0

    def cameras_seconds(self, left: float) -> float:
        """What the cameras may take of it to be rid of their last frames."""
        return CAMERAS_SHARE * left

    def over(self, missing: int, left: float, now: float) -> bool:
        """Whether waiting is over with `missing` frames unaccounted for at `now`, seconds of a monotonic clock.

        That is when none is missing, when nothing moved for too long, or when the workers need what is left.
        """
        if missing < self._least:
            self._least, self._moved = missing, now
        stalled = now - self._moved > STALL_SECONDS
        return not missing or stalled or left <= WORKERS_SHARE * self._drain_seconds


def tidying_seconds(left: float, otherwise: float, interrupted: bool) -> float:
    """What work on Kafka after the run may take: `otherwise` unless interrupted, then what is left of the drain."""
    return max(LEAST_SECONDS, min(left, otherwise)) if interrupted else otherwise
