"""What to do with more frames than can be looked at: let them wait in Kafka, or shed the old ones."""

from enum import StrEnum

import msgspec


class Policy(StrEnum):
    """How a worker meets overload."""

    BLOCK = "block"
    """Sheds nothing: the backlog shows as lag, and what retention takes meanwhile is expired."""
    SHED_OLDEST = "shed-oldest"
    """Sheds a frame that is older than the limit when its turn comes."""


class Overload(msgspec.Struct, frozen=True):
    """The overload policy with its limit."""

    policy: Policy
    max_age_ns: int

    def sheds(self, age_ns: int) -> bool:
        """Whether a frame of this age is to be shed; one that is exactly as old as the limit is kept.

        The age runs from the capture time, or the append time of a clock-untrusted camera; it is negative for a camera
        whose clock is a little fast.
        """
        return self.policy is Policy.SHED_OLDEST and age_ns > self.max_age_ns
