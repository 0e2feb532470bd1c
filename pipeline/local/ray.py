"""A Ray of one node on this machine, under a keeper, with token authentication and on the loopback interface alone."""

import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from pipeline.errors import ClusterError
from pipeline.local.keeper import Kept, keep

START_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.02
SMALLEST_OBJECT_STORE: Final = 80 * 1024 * 1024
"""Bytes; Ray takes no less, and Lamppost puts nothing in it."""

_QUIET: Final[Mapping[str, str]] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray replaces a loopback address by the machine's own unless its clusters are off, which this switch does on Linux
    # too, whatever its name says
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_DEDUP_LOGS": "0",
    # no spare workers: each is a Python process, and actors get one of their own anyway
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_metrics_collection": "0",
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
        object_store_bytes: int = SMALLEST_OBJECT_STORE,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`environment` is added to that of every process of this Ray, such as thread counts for its actors."""
        self._init: dict[str, object] = {
            "num_cpus": cpus,
            "num_gpus": gpus,
            "include_dashboard": dashboard,
            "object_store_memory": object_store_bytes,
        }
        self.environment: Mapping[str, str] = {
            **_QUIET,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            **(environment or {}),
        }
        self._kept: Kept | None = None
        self._deadline = 0.0
        self.address = ""
        """host:port of the head, for `ray.init`."""
        self.folder = Path()
        """Ray's temporary folder: sessions, sockets and logs."""

    def __enter__(self) -> "LocalRay":
        self.start()
        self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to start; raises ClusterError if that is refused."""
        # sockets below it may have 107 bytes, so it does not follow TMPDIR
        self.folder = Path(tempfile.mkdtemp(prefix="lp-ray-", dir="/tmp"))
        self._deadline = time.monotonic() + START_SECONDS
        specification = {
            "init": {**self._init, "_temp_dir": str(self.folder / "r")},
            "address_file": str(self._address_file),
        }
        script = Path(__file__).with_name("ray_head.py")
        try:
            self._kept = keep(
                # -P: without it the script's folder comes first on the path, and this module would be taken for Ray
                [sys.executable, "-P", str(script), json.dumps(specification)],
                folder=self.folder,
                log=self.folder / "head.log",
                environment={**_without_ray(os.environ), **self.environment},
                grace_seconds=2.0,
            )
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise ClusterError(f"a local Ray cannot be started: {error}") from error

    def answers(self) -> bool:
        """Whether it is up and `address` is set; raises ClusterError, and stops it, if it ended or is late."""
        if self.address:
            return True
        if self._address_file.exists():
            self.address = self._address_file.read_text()
            return True
        died = not self.alive()
        if died or time.monotonic() > self._deadline:
            last = self._kept.last_log_line() if self._kept else "it was not started"
            self.stop()
            how = "ended while it was starting" if died else f"was not up within {START_SECONDS:.0f} s"
            raise ClusterError(f"the local Ray {how}: {last}")
        return False

    def wait(self) -> None:
        """Wait until it answers and set `address`; raises ClusterError, and stops it, if it does not."""
        while not self.answers():
            time.sleep(LOOK_SECONDS)

    @property
    def pid(self) -> int:
        """Process id of the head's parent."""
        return self._kept.pid if self._kept else 0

    def alive(self) -> bool:
        """Whether the head is still there."""
        return self._kept is not None and self._kept.alive()

    def stop(self) -> None:
        """End every process of this Ray and remove its folder."""
        if self._kept is not None:
            self._kept.stop()
            self._kept = None

    @property
    def _address_file(self) -> Path:
        return self.folder / "address"


def _without_ray(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what could point this Ray at another cluster or another token."""
    return {name: value for name, value in environment.items() if not name.startswith("RAY_")}
