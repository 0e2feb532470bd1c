"""What to do with more frames than can be looked at: let them wait in Kafka, or shed the old ones."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TypeVar

import msgspec

Item = TypeVar("Item")


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

    def split(
        self, frames: Iterable[Item], since_ns: Callable[[Item], int], now_ns: int
    ) -> tuple[list[Item], list[Item]]:
        """`frames` as (kept, shed), in their order; `since_ns` gives the instant that a frame's age runs from."""
        kept: list[Item] = []
        shed: list[Item] = []
        for frame in frames:
            (shed if self.sheds(now_ns - since_ns(frame)) else kept).append(frame)
        return kept, shed
