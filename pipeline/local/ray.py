"""A Ray on this machine, under a guard, with token authentication and on the loopback interface alone.

It has one node, to which others can be added that can be killed (``ray_node``).
"""

import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pipeline.errors import ClusterError
from pipeline.local.keeper import Kept, keep

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 1.0
"""From SIGTERM to SIGKILL. Who stops Ray has ended its actors; a raylet would wait longer for idle workers."""
LOOK_SECONDS: Final = 0.02
TEMPORARY: Final = "/tmp"
"""Ray's sockets lie some 70 bytes below and may have 107, so TMPDIR is followed only where this is not writable."""
SMALLEST_OBJECT_STORE: Final = 80 * 1024 * 1024
"""Bytes; Ray takes no less, and Lamppost puts nothing in it."""

_SWITCHES: Final[Mapping[str, str]] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray replaces a loopback address by the machine's own unless its clusters are off, which this switch does on Linux
    # too, whatever its name says
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # no spare workers: each is a Python process, and actors get one of their own anyway
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_metrics_collection": "0",
    # the two of them silence warnings: lines of workers are not merged, and a coming change of GPU variables
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class LocalRay:
    """Starts with `with`; what it started, and its folder, are gone when the block ends or the process dies.

    `environment` carries the token; it must be set in a process before that imports ray to connect.
    """

    def __init__(
        self,
        *,
        cpus: int,
        gpus: int = 0,
        dashboard: bool = False,
        worker_logs: bool = False,
        object_store_bytes: int = SMALLEST_OBJECT_STORE,
        environment: Mapping[str, str] | None = None,
        start_seconds: float = START_SECONDS,
        parent: Path | None = None,
    ) -> None:
        """`environment` is added to that of every process of this Ray, such as thread counts for its actors.

        `worker_logs` lets drivers print what actors print (``ray.init(log_to_driver=True)``), `dashboard` serves Ray's
        dashboard and its state interface; each costs a process or more. After `start_seconds` it is late. `parent` is
        where its folder is made, 35 bytes long at most; None: /tmp, if this user may write there.
        """
        self.wanted: dict[str, object] = {
            "head": None,
            "cpus": cpus,
            "gpus": gpus,
            "resources": {},
            "dashboard": dashboard,
            "worker_logs": worker_logs,
            "object_store_bytes": object_store_bytes,
        }
        """What the processes of its node are started with."""
        self.environment: Mapping[str, str] = {
            **_SWITCHES,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            **(environment or {}),
        }
        self._kept: Kept | None = None
        self._start_seconds = start_seconds
        self._parent = parent
        self._deadline = 0.0
        self.address = ""
        """host:port of the head, for `ray.init`; empty until it answers."""
        self.dashboard = ""
        """host:port of the dashboard; empty without one."""
        self.ports: Mapping[str, list[int]] = {}
        """The loopback ports that were open when it answered, by process; each actor opens one more."""
        self.folder = Path()
        """Ray's temporary folder: sessions, sockets and logs."""

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to start; raises ClusterError if that is refused."""
        try:
            self.folder = new_folder(self._parent)
            self._kept = self._keep()  # removes the folder if it fails
        except OSError as error:
            raise ClusterError(f"a local Ray cannot be started: {error}") from error
        self._deadline = time.monotonic() + self._start_seconds

    def answers(self) -> bool:
        """Whether it is up and `address` is set; raises ClusterError, and stops it, if it ended or is late."""
        if self.address:
            return True
        said = address_file(self.folder)
        if said.exists():
            told: dict[str, Any] = json.loads(said.read_text(encoding="utf-8"))
            self.address, self.dashboard, self.ports = told["address"], told["dashboard"] or "", told["ports"]
            return True
        died = not self.alive()
        if died or time.monotonic() > self._deadline:
            why = self.last_log_line()
            self.stop()
            how = "ended while it was starting" if died else f"was not up within {self._start_seconds:.0f} s"
            raise ClusterError(f"the local Ray {how}: {why}")
        return False

    def wait(self) -> None:
        """Wait until it answers and set `address`; raises ClusterError, and stops it, if it does not."""
        while not self.answers():
            time.sleep(LOOK_SECONDS)

    @property
    def log_folder(self) -> Path:
        """Where the logs of Ray's own processes and of the actors are, once it answers."""
        return self.folder / "r" / "session_latest" / "logs"

    @property
    def pid(self) -> int:
        """Process id above Ray's own processes; 0 before the start and after the end."""
        return self._kept.pid if self._kept else 0

    @property
    def guard_pid(self) -> int:
        """The process id of the guard: the root of the tree to measure; 0 as `pid`."""
        return self._kept.guard_pid if self._kept else 0

    def alive(self) -> bool:
        """Whether Ray's own processes are all there; actors come and go without it."""
        return self._kept is not None and self._kept.alive()

    def last_log_line(self) -> str:
        """The line of the head's log that tells best why it ended."""
        return self._kept.last_log_line() if self._kept else "it was not started"

    def stop(self) -> None:
        """End every process of this Ray, actors too, and remove its folder; does nothing if it is not there."""
        if self._kept is not None:
            self._kept.stop(STOP_SECONDS)
            self._kept = None
            self.address = ""

    def _keep(self) -> Kept:
        return keep_node(self.folder, self.wanted, self.environment)


def new_folder(parent: Path | None = None) -> Path:
    """A folder for a node, in `parent` or where this user may write; raises OSError."""
    writable = Path(TEMPORARY) if os.access(TEMPORARY, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="lp-ray-", dir=parent or writable))


def address_file(folder: Path) -> Path:
    """The file that says, once a node answers, where it is."""
    return folder / "address"


def keep_node(folder: Path, wanted: Mapping[str, object], environment: Mapping[str, str]) -> Kept:
    """Start the processes of a node in `folder` under a guard; raises OSError, and removes the folder, if it fails."""
    told = {**wanted, "folder": str(folder / "r"), "address_file": str(address_file(folder))}
    script = Path(__file__).with_name("ray_start.py")
    return keep(
        # -P: without it the script's folder comes first on the path, and this module would be taken for Ray
        [sys.executable, "-P", str(script), json.dumps(told)],
        folder=folder,
        log=folder / "head.log",
        environment={**_without_ray(os.environ), **environment},
        grace_seconds=STOP_SECONDS,
    )


def _without_ray(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what could point this Ray at another cluster or another token."""
    return {name: value for name, value in environment.items() if not name.startswith("RAY_")}
