"""Names of cameras and of their runs."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime


def camera_ids(count: int, districts: Sequence[str]) -> tuple[str, ...]:
    """Ids of `count` cameras, spread over the districts in turn and numbered through, as in ``north/cam-000``."""
    digits = max(3, len(str(count - 1)))
    return tuple(f"{districts[index % len(districts)]}/cam-{index:0{digits}d}" for index in range(count))


def new_camera_run(now_ns: int) -> str:
    """A name that no other start has: UTC time to the second and 32 random bits, as in ``20261124T001500Z-3f9a1c2b``.

    The random part keeps apart cameras that start in the same second, and those whose clock was set back.
    """
    return f"{datetime.fromtimestamp(now_ns // 10**9, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
