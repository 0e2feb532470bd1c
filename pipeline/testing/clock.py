"""A clock that stands still until it is told to move."""

START_NS = 1_800_000_000 * 10**9
"""2027-01-15, a time that the codecs take for plausible."""


class FakeClock:
    """Implements `pipeline.ports.Clock`; wall clock and monotonic clock advance together."""

    def __init__(self, now_ns: int = START_NS) -> None:
        self._now_ns = now_ns
        self._elapsed_ns = 0

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return self._now_ns

    def monotonic(self) -> float:
        """Seconds that the clock was advanced by since it was made."""
        return self._elapsed_ns / 1e9

    def advance(self, seconds: float) -> None:
        """Let time pass; raises ValueError for a negative time, since a monotonic clock has none."""
        if seconds < 0:
            raise ValueError(f"a monotonic clock cannot go back by {-seconds} s; use step() for the wall clock")
        self._elapsed_ns += round(seconds * 1e9)
        self._now_ns += round(seconds * 1e9)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as a time server does; the monotonic clock does not notice."""
        self._now_ns += round(seconds * 1e9)
