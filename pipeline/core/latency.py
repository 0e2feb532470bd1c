"""Quantiles of latencies that were measured in several processes.

A sketch counts values in buckets whose bounds grow by a constant factor, so that every quantile has the same relative
error and the sketches of two processes add up exactly (Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable
quantile sketch with relative-error guarantees", PVLDB 12(12), 2019).
"""

from math import ceil, isfinite, log
from typing import Final

import msgspec

RELATIVE_ERROR: Final = 0.01
"""A quantile differs from the value of its rank by at most this share of that value."""
SMALLEST: Final = 1e-6
"""Seconds; smaller values, and those below zero that clocks of two machines can give, count as about this much."""
GREATEST: Final = 1e7
"""Seconds; greater values count as this much, which bounds a sketch to about 1,500 buckets."""

_GROWTH: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GROWTH: Final = log(_GROWTH)
_FLOOR: Final = ceil(log(SMALLEST) / _LOG_GROWTH)


class LatencySketch(msgspec.Struct):
    """Counts of values in seconds by logarithmic bucket; a plain record, so that it travels as it is."""

    buckets: dict[int, int] = {}
    """Bucket i holds the values in (g^(i-1), g^i] with g = (1 + e) ÷ (1 − e) and e the relative error."""
    count: int = 0
    total: float = 0.0
    """Sum of the values, seconds."""
    greatest: float = 0.0
    """The greatest value itself, seconds; 0 while there is none."""

    def add(self, seconds: float) -> None:
        """Count one value; raises ValueError if it is not finite."""
        if not isfinite(seconds):
            raise ValueError(f"latency of {seconds} s")
        bucket = _FLOOR if seconds <= SMALLEST else ceil(log(min(seconds, GREATEST)) / _LOG_GROWTH)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.greatest = seconds if not self.count else max(self.greatest, seconds)
        self.count += 1
        self.total += seconds

    def merge(self, other: "LatencySketch") -> None:
        """Add the values of `other`; the result is that of one sketch which was given all of them."""
        if not other.count:
            return
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        self.greatest = max(self.greatest, other.greatest) if self.count else other.greatest
        self.count += other.count
        self.total += other.total

    def quantile(self, q: float) -> float | None:
        """The value of rank floor(q × (count − 1)), in seconds, within the relative error; None without values.

        `q` is 0..1; the greatest value is given exactly. Raises ValueError for another `q`.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"quantile {q}")
        if not self.count:
            return None
        rank = int(q * (self.count - 1))
        if rank == self.count - 1:
            return self.greatest
        passed = 0
        for bucket in sorted(self.buckets):
            passed += self.buckets[bucket]
            if passed > rank:
                return min(2 * _GROWTH**bucket / (_GROWTH + 1), self.greatest)
        raise ValueError("the buckets hold fewer values than were counted")

    @property
    def mean(self) -> float | None:
        """Mean of the values in seconds; None without values."""
        return self.total / self.count if self.count else None
