"""Apache Kafka of one node on this machine, in a folder that is gone when it ends."""

import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pipeline.errors import ResourceError
from pipeline.local import broker
from pipeline.local.artifacts import Progress
from pipeline.local.keeper import Kept
from pipeline.local.launch import DATA, Distribution, answers, launch
from pipeline.local.ports import free_ports, require_free
from pipeline.local.prepared import Notice, prepare

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.02
HEAP_BYTES: Final = 512 * broker.MIB
ROOM_BYTES: Final = 1024 * broker.MIB
"""Has to be free on the disk: 24 frames/s of 100 KB make 430 MB in the 180 s until they are gone."""
ATTEMPTS: Final = 3
TAKEN: Final = "Address already in use"


class LocalKafka:
    """One broker on the loopback interface: starts with `with`; its process and files end with the block.

    They also end if this process is killed. ``start()`` and ``wait()`` apart let other things start meanwhile.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        heap_bytes: int = HEAP_BYTES,
        settings: Mapping[str, str] | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
        notice: Notice | None = None,
    ) -> None:
        """`port` 0 takes a free one; `settings` are the broker's, over those of ``broker.SETTINGS``.

        The first start on a machine fetches and prepares Kafka in `cache` and says so to `progress` and `notice`; see
        ``prepared.prepare``.
        """
        self._wanted_port = port
        self._heap_bytes = heap_bytes
        self._settings = dict(settings or {})
        self._cache = cache
        self._progress = progress
        self._notice = notice
        self._kept: Kept | None = None
        self._distribution: Distribution | None = None
        self._port = 0
        self.folder = Path()
        """Everything of this broker: settings, log and data."""

    @property
    def address(self) -> str:
        """host:port for clients."""
        return f"{broker.HOST}:{self._port}"

    @property
    def data_folder(self) -> Path:
        """Where the segment files of the topics are."""
        return self.folder / DATA

    @property
    def log_folder(self) -> Path:
        """Where the broker's own log, ``kafka.log``, is."""
        return self.folder

    @property
    def pid(self) -> int:
        """The broker's process id; 0 before the start and after the end."""
        return self._kept.pid if self._kept else 0

    @property
    def guard_pid(self) -> int:
        """The process id of the guard above the broker: the root of the tree to measure; 0 as `pid`."""
        return self._kept.guard_pid if self._kept else 0

    def start(self) -> None:
        """Begin to start it; raises ResourceError without room or port, and what prepare() raises."""
        if self._wanted_port:
            require_free(self._wanted_port)
        self._distribution = prepare(self._cache, self._progress, self._notice)
        self._launch(self._distribution)

    def wait(self, deadline_seconds: float = START_SECONDS) -> None:
        """Wait until it answers; raises ResourceError, and removes it, if it does not."""
        deadline = time.monotonic() + deadline_seconds
        attempts = 1
        while True:
            alive = self.alive()
            if alive and answers(self._port):
                return
            if alive and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
                continue
            how = f"did not answer within {deadline_seconds:.0f} s" if alive else "ended while it was starting"
            said = self.last_log_line()
            self.stop()
            if TAKEN not in said or self._wanted_port or attempts == ATTEMPTS or self._distribution is None:
                raise ResourceError(f"the local Kafka {how}: {said}")
            self._launch(self._distribution)  # another program was faster to the port
            attempts += 1

    def alive(self) -> bool:
        """Whether its process runs."""
        return self._kept is not None and self._kept.alive()

    def last_log_line(self) -> str:
        """The line of its log that tells best why it ended."""
        return self._kept.last_log_line() if self._kept else "it was not started"

    def stop(self) -> None:
        """End it and remove its folder; does nothing if it is not there."""
        if self._kept is not None:
            self._kept.stop(STOP_SECONDS)
            self._kept = None

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

    def _launch(self, distribution: Distribution) -> None:
        where = tempfile.gettempdir()
        free = shutil.disk_usage(where).free
        if free < ROOM_BYTES:
            raise ResourceError(
                f"the local Kafka needs {ROOM_BYTES // broker.MIB} MiB in {where}, {free // broker.MIB} MiB are free; "
                f"free some, or set TMPDIR to a folder with room"
            )
        port, controller_port = free_ports(2)
        self._port = self._wanted_port or port
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="lamppost-kafka-"))
            self._kept = launch(
                distribution,
                self.folder,
                port=self._port,
                controller_port=controller_port,
                heap_bytes=self._heap_bytes,
                settings=self._settings,
                # Java starts all the same, without saying so, should the archive be missing or not fit
                java_options=[f"-XX:AOTCache={distribution.archive}", "-Xlog:disable", "-Xlog:all=error:stderr"],
            )
        except OSError as error:
            raise ResourceError(f"the local Kafka cannot be started: {error}") from error
