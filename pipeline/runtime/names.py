"""Names that are made when none is given."""

import secrets
from datetime import UTC, datetime

from pipeline.catalog.roles import MADE_NAMES


def new_run_name(now_ns: int) -> str:
    """A name that no other run has: UTC time to the second and 16 random bits, as in ``run-20261124t001500-3f9a``."""
    return f"{MADE_NAMES}{datetime.fromtimestamp(now_ns // 10**9, UTC):%Y%m%dt%H%M%S}-{secrets.token_hex(2)}"
