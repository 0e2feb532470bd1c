"""Cutting a batch's faces into searches of a bounded size."""

from collections.abc import Iterator


def chunks(count: int, limit: int) -> Iterator[slice]:
    """Slices of at most `limit` that cover 0 to `count` in order; none for a count of 0.

    Raises ValueError if `limit` is less than 1.
    """
    if limit < 1:
        raise ValueError(f"limit of {limit}")
    return (slice(first, min(first + limit, count)) for first in range(0, count, limit))
