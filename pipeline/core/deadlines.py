"""When to give up and when to try again; times are seconds of one monotonic clock, read by the caller."""

import msgspec


class Lease(msgspec.Struct, frozen=True):
    """A right to go on that somebody has to renew; who holds an expired one ends itself."""

    renewed: float
    """When it was renewed last."""
    seconds: float
    """How long it holds from then."""

    def renew(self, now: float) -> "Lease":
        """The lease renewed at `now`; a renewal that comes out of order does not shorten it."""
        return Lease(max(now, self.renewed), self.seconds)

    def expired(self, now: float) -> bool:
        """Whether it ran out before `now`."""
        return now - self.renewed > self.seconds

    def remaining(self, now: float) -> float:
        """Seconds that it still holds; 0 once it has expired."""
        return max(0.0, self.renewed + self.seconds - now)


class Backoff(msgspec.Struct, frozen=True):
    """Growing pauses between attempts."""

    first: float = 0.1
    """Longest pause after the first failure, seconds."""
    factor: float = 2.0
    """Growth per failure."""
    limit: float = 5.0
    """No pause is longer, seconds."""

    def pause(self, failures: int, spread: float) -> float:
        """Seconds to wait after `failures` failures in a row (at least 1).

        `spread` is a random number 0..1 from the caller, so that processes which failed together do not retry
        together: the pause lies between a half and the whole of the longest one.
        """
        if failures < 1:
            raise ValueError(f"pause after {failures} failures")
        # the exponent is bounded because a long outage would overflow the power
        longest = min(self.limit, self.first * self.factor ** min(failures - 1, 64))
        return longest * (0.5 + 0.5 * spread)
