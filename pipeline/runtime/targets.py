"""Which of a run's processes Prometheus is told to scrape."""

from typing import TYPE_CHECKING

from pipeline.telemetry.discovery import TargetGroup

if TYPE_CHECKING:
    from pipeline.actors.supervisor import RunStatus


class Targets:
    """The metrics endpoints of a run's processes, kept up to date by its command."""

    def __init__(self, host: str, run: str) -> None:
        self._host = host
        self._run = run
        self._groups: tuple[TargetGroup, ...] = ()

    def groups(self) -> tuple[TargetGroup, ...]:
        """The targets as of the latest update; called by the discovery server."""
        return self._groups

    def update(self, status: "RunStatus", cameras: str = "") -> None:
        """Take in which processes there are now; `cameras` is the address of the producers' metrics, if any."""
        by_role = {
            "worker": tuple(f"{self._host}:{each.metrics_port}" for each in status.workers if each.metrics_port),
            "shard": tuple(f"{self._host}:{each.metrics_port}" for each in status.shards if each.metrics_port),
            "cameras": (cameras,) if cameras else (),
        }
        self._groups = tuple(
            TargetGroup(targets, {"role": role, "run": self._run}) for role, targets in by_role.items() if targets
        )
