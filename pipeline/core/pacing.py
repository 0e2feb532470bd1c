"""Open-loop pacing: a frame's instant follows from its number alone, never from when the one before was sent.

A producer that falls behind keeps the intended instants and sends late, so that a stall shows as latency instead of
disappearing from the measurement.
"""

from fractions import Fraction

import msgspec

SECOND_NS = 10**9


class Schedule(msgspec.Struct, frozen=True):
    """The intended capture instants of one camera, in nanoseconds since the Unix epoch.

    Instants are exact: frame n lies at ``start_ns`` + n s ÷ ``fps``, rounded down once, so no rate drifts.
    """

    start_ns: int
    """Instant of frame 0."""
    fps: Fraction
    """Frames per second, greater than 0; 30000/1001 is as exact as 25."""

    def __post_init__(self) -> None:
        if self.fps <= 0:
            raise ValueError(f"{self.fps} frames per second")

    def instant(self, sequence: int) -> int:
        """The intended capture instant of frame `sequence`."""
        return self.start_ns + sequence * SECOND_NS * self.fps.denominator // self.fps.numerator

    def due(self, now_ns: int) -> int:
        """How many frames have an intended instant at or before `now_ns`: those with numbers below the result."""
        if now_ns < self.start_ns:
            return 0
        # the instants are rounded down, so frame n is due once n s ÷ fps < elapsed + 1 ns
        return -(-(now_ns - self.start_ns + 1) * self.fps.numerator // (SECOND_NS * self.fps.denominator))

    def behind(self, sequence: int, now_ns: int) -> int:
        """How many frames after frame `sequence` are due already; more than 0 says that the producer cannot keep up."""
        return max(0, self.due(now_ns) - sequence - 1)


def phase_ns(camera_index: int, cameras: int, fps: Fraction) -> int:
    """How much later than the first camera this one starts, 0 to one frame's time.

    Spreads `cameras` evenly over the time of one frame, so that they do not all fire at once.
    """
    return (camera_index % cameras) * SECOND_NS * fps.denominator // (cameras * fps.numerator)
