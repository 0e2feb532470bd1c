"""Words for people that depend on a number."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """The number and what it counts, as in ``1 entry`` and ``1,200 entries``; `many` defaults to `one` with an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
