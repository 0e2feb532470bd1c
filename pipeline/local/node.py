"""One node of a local Kafka, and what can be done to it to see what the others do."""

import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pipeline.errors import ResourceError
from pipeline.local.broker import Place
from pipeline.local.keeper import Kept
from pipeline.local.launch import DATA, LOG, Distribution, answers, launch

STOP_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.02


class Node:
    """A broker and controller in one process, with a folder and a guard of its own.

    It is launched when it is made. Raises ResourceError if that is refused; whether it stays is seen with `alive` and
    `answers`.
    """

    def __init__(
        self,
        distribution: Distribution,
        place: Place,
        cluster: Sequence[Place],
        *,
        heap_bytes: int,
        settings: Mapping[str, str],
        access: Mapping[str, str] | None = None,
    ) -> None:
        """`settings` are the broker's, over those of ``broker.SETTINGS``; `cluster` has this node's place too.

        `access` are librdkafka's properties for the nodes' own listener, if it is protected.
        """
        self.place = place
        self._distribution = distribution
        self._cluster = cluster
        self._heap_bytes = heap_bytes
        self._settings = settings
        self._access = access
        self._paused = False
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="lamppost-kafka-"))
            self._kept = self._launch()
        except OSError as error:
            raise ResourceError(f"the local Kafka cannot be started: {error}") from error

    @property
    def id(self) -> int:
        """Kafka's ``node.id``."""
        return self.place.node

    @property
    def address(self) -> str:
        """host:port for clients."""
        return self.place.address

    @property
    def data_folder(self) -> Path:
        """Where the segment files of the topics are."""
        return self.folder / DATA

    @property
    def log(self) -> Path:
        """What the broker says of itself."""
        return self.folder / LOG

    @property
    def pid(self) -> int:
        """The broker's process id; another one after `restart`."""
        return self._kept.pid

    @property
    def guard_pid(self) -> int:
        """The process id of the guard above the broker: the root of the tree to measure."""
        return self._kept.guard_pid

    def alive(self) -> bool:
        """Whether its process is there; one that is paused is."""
        return self._kept.alive()

    def serves(self) -> bool:
        """Whether its process is there and not paused."""
        return not self._paused and self.alive()

    def answers(self) -> bool:
        """Whether it answers, and knows of every node of its cluster that it serves."""
        return answers(self.place.node_port or self.place.port, len(self._cluster), self._access)

    def last_log_line(self) -> str:
        """The line of its log that tells best why it ended."""
        return self._kept.last_log_line()

    def kill(self) -> None:
        """End its process with SIGKILL, paused or not; its data stay. Returns when it has ended.

        Raises ResourceError if it hangs in the kernel.
        """
        self._kept.send(signal.SIGKILL)
        if not self._await_end(STOP_SECONDS):
            raise ResourceError(f"process {self.pid}, node {self.id} of the local Kafka, cannot be ended")
        self._paused = False

    def pause(self) -> None:
        """Stop its process (SIGSTOP): connections stay, and nothing is answered. Does nothing if it has ended."""
        self._kept.send(signal.SIGSTOP)
        self._paused = self.alive()

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        self._kept.send(signal.SIGCONT)
        self._paused = False

    def restart(self) -> None:
        """Launch it again on the same ports and data; a process that is there is asked to end first, then killed.

        Returns when the new process is there, which is before it answers. Raises ResourceError if that is refused.
        """
        self.resume()
        self._kept.send(signal.SIGTERM)
        if not self._await_end(STOP_SECONDS):
            self.kill()
        before = self._kept
        try:
            self._kept = self._launch()
        except OSError as error:
            raise ResourceError(f"node {self.id} of the local Kafka cannot be started again: {error}") from error
        # only now, so that at no time is the folder without a guard that removes it
        before.stop(leave_folder=True)

    def stop(self, deadline_seconds: float = STOP_SECONDS) -> None:
        """End it, with SIGKILL after the deadline or at once if it is paused, and remove its folder."""
        self._kept.stop(0.0 if self._paused else deadline_seconds)

    def _await_end(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive() and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return not self.alive()

    def _launch(self) -> Kept:
        return launch(
            self._distribution,
            self.folder,
            self.place,
            self._cluster,
            heap_bytes=self._heap_bytes,
            settings=self._settings,
            # Java starts all the same, without saying so, should the archive be missing or not fit
            java_options=[f"-XX:AOTCache={self._distribution.archive}", "-Xlog:disable", "-Xlog:all=error:stderr"],
        )
