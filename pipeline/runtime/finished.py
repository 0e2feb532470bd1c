"""What a demo knows when it has ended."""

from dataclasses import dataclass

from pipeline.actors.pool_status import PoolStatus
from pipeline.actors.report import WorkReport
from pipeline.cameras.plan import FleetPlan
from pipeline.errors import LamppostError
from pipeline.records import Alert
from pipeline.runtime.camera_job import CameraStatus
from pipeline.runtime.settings import Settings
from pipeline.runtime.taps import CustodyFindings


@dataclass(frozen=True)
class Finished:
    """Everything that a demo knows at its end."""

    settings: Settings
    run: str
    plan: FleetPlan
    cameras: CameraStatus
    work: WorkReport
    replaced: int
    last_replaced: str
    custody: CustodyFindings
    alerts: list[Alert]
    first_alert_seconds: float | None
    kafka: str
    """Release of the broker."""
    pool: PoolStatus | None = None
    """None: the pool was fixed."""
    failures: tuple[LamppostError, ...] = ()
    """What did not end as it should."""
