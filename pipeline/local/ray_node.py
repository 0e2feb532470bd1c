"""Further nodes of a local Ray, and what can be done to one to see what a run makes of its loss."""

import json
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.errors import ClusterError
from pipeline.local import guard
from pipeline.local.keeper import Kept
from pipeline.local.ray import LOOK_SECONDS, START_SECONDS, LocalRay, address_file, keep_node, new_folder


class RayNode:
    """A node that joins a local Ray that answers; it starts with `with`, and its processes and folder end with it.

    It has an object store of its own, like a machine of its own, but shares the loopback address with the head.
    """

    def __init__(
        self,
        head: LocalRay,
        *,
        cpus: int,
        resources: Mapping[str, float] | None = None,
        parent: Path | None = None,
        start_seconds: float = START_SECONDS,
    ) -> None:
        """`resources` are the node's own, by which actors can be kept to it; `parent` as that of the head."""
        self._head = head
        self._wanted: dict[str, object] = {
            **head.wanted,
            "head": head.address,
            "cpus": cpus,
            "gpus": 0,
            "resources": dict(resources or {}),
            "dashboard": False,
            "worker_logs": False,
        }
        self._parent = parent
        self._start_seconds = start_seconds
        self._kept: Kept | None = None
        self.id = ""
        """Ray's id of the node; empty until it answers."""
        self.folder = Path()
        """Its temporary folder."""
        self._raylet = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers; raises ClusterError, and stops it, if it does not."""
        deadline = time.monotonic() + self._start_seconds
        try:
            self.folder = new_folder(self._parent)
            self._kept = keep_node(self.folder, self._wanted, self._head.environment)
        except OSError as error:
            raise ClusterError(f"a node of the local Ray cannot be started: {error}") from error
        try:
            self._await(address_file(self.folder), deadline)
        except BaseException:
            self.stop()
            raise

    @property
    def pids(self) -> list[int]:
        """The processes of the node, actors among them, parents before their children."""
        return guard.descendants(self._kept.guard_pid) if self._kept else []

    def alive(self) -> bool:
        """Whether its raylet runs."""
        return self._kept is not None and self._kept.alive()

    def kill(self) -> None:
        """End every process of the node with SIGKILL, as a machine that loses its power does."""
        self.stop()

    def kill_raylet(self) -> None:
        """End its raylet alone with SIGKILL: what the raylet started is not told, and is left to itself."""
        guard.send(self._raylet, signal.SIGKILL)

    def stop(self) -> None:
        """End every process of it and remove its folder; does nothing if it is not there."""
        if self._kept is not None:
            self._kept.stop(0.0)
            self._kept = None

    def _await(self, file: Path, deadline: float) -> None:
        while not file.exists():
            if not self.alive() or time.monotonic() > deadline:
                why = self._kept.last_log_line() if self._kept else ""
                how = (
                    "ended while it was starting" if not self.alive() else f"was not up in {self._start_seconds:.0f} s"
                )
                raise ClusterError(f"a node of the local Ray {how}: {why}")
            time.sleep(LOOK_SECONDS)
        told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        self.id = told["node_id"]
        (self._raylet,) = told["pids"]
