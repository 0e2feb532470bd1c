"""A set of whole numbers kept as sorted, disjoint intervals: offsets come in long runs."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class OffsetSet:
    """Offsets of one partition; intervals are half open, ``first`` (inclusive) to ``end`` (exclusive).

    Neighbouring intervals are joined, so a partition that is read without a gap costs one interval however long it is.
    """

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        """Number of offsets in the set."""
        return sum(self._ends) - sum(self._firsts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The intervals in rising order; no two of them touch."""
        return zip(self._firsts, self._ends, strict=True)

    def add(self, first: int, end: int) -> list[tuple[int, int]]:
        """Put in the offsets from `first` to `end`; returns the intervals of them that were there before."""
        if first >= end:
            raise ValueError(f"empty interval {first} to {end}")
        low = bisect_left(self._ends, first)
        high = bisect_right(self._firsts, end)
        touched = range(low, high)
        known = [(max(first, self._firsts[i]), min(end, self._ends[i])) for i in touched]
        if touched:
            first = min(first, self._firsts[low])
            end = max(end, self._ends[high - 1])
        self._firsts[low:high] = [first]
        self._ends[low:high] = [end]
        return [(start, stop) for start, stop in known if start < stop]

    def within(self, first: int, end: int) -> list[tuple[int, int]]:
        """The intervals of the set between `first` and `end`, cut off at both."""
        low = bisect_right(self._ends, first)
        high = bisect_left(self._firsts, end)
        return [(max(first, self._firsts[i]), min(end, self._ends[i])) for i in range(low, high)]

    def missing(self, first: int, end: int) -> list[tuple[int, int]]:
        """The intervals between `first` and `end` that are not in the set."""
        gaps = []
        for start, stop in self.within(first, end):
            if first < start:
                gaps.append((first, start))
            first = stop
        if first < end:
            gaps.append((first, end))
        return gaps
