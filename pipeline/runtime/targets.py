"""Which of a run's processes Prometheus is told to scrape."""

import ipaddress
import socket
from typing import TYPE_CHECKING

from pipeline.telemetry.discovery import TargetGroup

if TYPE_CHECKING:
    from pipeline.actors.run_plan import RunStatus

ANYWHERE = "192.0.2.1"
"""An address for documentation (RFC 5737), which is no machine's: the way there starts where every way out does."""
LOOPBACK = "127.0.0.1"
EVERYWHERE = ("", "0.0.0.0", "::")


class Targets:
    """The metrics endpoints of a run's processes, kept up to date by its command.

    `host` is what every process listens on, `here` the address of the command's own machine for others.
    """

    def __init__(self, host: str, run: str, here: str) -> None:
        self._host = host
        self._run = run
        self._here = here
        self._groups: tuple[TargetGroup, ...] = ()

    def groups(self) -> tuple[TargetGroup, ...]:
        """The targets as of the latest update; called by the discovery server."""
        return self._groups

    def update(self, status: "RunStatus", cameras: str = "") -> None:
        """Take in which processes there are now; `cameras` is the address of the producers' metrics, if any."""
        pool = status.pool
        by_role = {
            "worker": tuple(self._target(each.node, each.metrics_port) for each in status.workers if each.metrics_port),
            "shard": tuple(self._target(each.node, each.metrics_port) for each in status.shards if each.metrics_port),
            "supervisor": (self._target(pool.node, pool.metrics_port),) if pool and pool.metrics_port else (),
            "cameras": (self._target(self._here, int(cameras.rpartition(":")[2])),) if cameras else (),
        }
        self._groups = tuple(
            TargetGroup(targets, {"role": role, "run": self._run}) for role, targets in by_role.items() if targets
        )

    def _target(self, node: str, port: int) -> str:
        return f"{reachable(self._host, node, self._here)}:{port}"


def reachable(host: str, node: str, here: str) -> str:
    """Where a process is reached that listens on `host` on the machine `node`; `here` is this machine for others.

    At `host` itself, unless that stands for every address of the machine: then at the machine's own. A Ray on the
    loopback interface is on this machine.
    """
    if host not in EVERYWHERE:
        return host
    return here if ipaddress.ip_address(node).is_loopback else node


def machine_address() -> str:
    """The address that this machine has for others, or the loopback one without a network; nothing is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        try:
            route.connect((ANYWHERE, 9))
        except OSError:
            return LOOPBACK
        return str(route.getsockname()[0])
