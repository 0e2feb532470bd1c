"""An elastic pool as its supervisor tells of it; knows no Ray, which reads its environment when it is imported."""

import msgspec


class PoolChange(msgspec.Struct, frozen=True):
    """One change of a pool's size."""

    before: int
    after: int
    reason: str


class PoolStatus(msgspec.Struct, frozen=True):
    """An elastic pool as its command sees it."""

    least: int
    most: int
    wanted: int
    grown: int
    """Changes to more workers so far."""
    shrunk: int
    """Changes to fewer workers so far."""
    latest: PoolChange | None
    """The latest of them."""
    trouble: str
    """Why it is not measured or a worker does not start, or how the latest to leave failed to; empty if all is well."""
    metrics_port: int
    """Of the supervisor; 0 until it listens."""
    node: str
    """Address of the supervisor's machine, as the cluster knows it."""
