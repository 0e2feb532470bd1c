"""One fleet of cameras from rendering to the last acknowledgement, in whatever process it runs in."""

import os
import threading
import time
from typing import Literal

import cv2
import msgspec
import psutil

from pipeline.cameras.counts import CameraCounts
from pipeline.cameras.fleet import Fleet
from pipeline.cameras.folder import FolderSource
from pipeline.cameras.naming import new_camera_run
from pipeline.cameras.plan import FleetPlan, open_sources, placed
from pipeline.cameras.source import PictureSource
from pipeline.cameras.synthetic import Rendering
from pipeline.cameras.video import VideoSource
from pipeline.errors import BrokerError, ResourceError
from pipeline.ports import Telemetry
from pipeline.streams.client import Connection
from pipeline.streams.producer import FrameProducer

DRAIN_SECONDS = 10.0
"""What acknowledgements of the last frames may take when cameras end by themselves."""
PATIENCE_SECONDS = 15.0
"""A Kafka that is away for longer ends the cameras; until then their frames count as failed."""
LEAD_SECONDS = 2.0
"""From the first contact with Kafka to the first frame, at least: the first idempotent producer of a fresh broker waits
up to 2 s for its producer id (measured), which would be the latency of the first frames."""
MEMORY_SHARE = 0.7
"""Share of the memory that is free at the start which rendered loops may take."""

State = Literal["preparing", "ready", "sending", "draining", "ended", "failed"]


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A fleet as whoever started it sees it."""

    state: State = "preparing"
    pid: int = 0
    camera_run: str = ""
    since_ns: int = 0
    """When rendering began; 0 before."""
    rendered: int = 0
    """Pictures rendered ahead so far, of `to_render`."""
    to_render: int = 0
    start_ns: int | None = None
    """The instant that the fleet's schedule counts from; None until it is given."""
    counts: dict[str, CameraCounts] = {}
    """By camera id; frames 0 to intended − 1 of each camera have come due."""
    damaged: tuple[str, ...] = ()
    """Pictures of folders that could not be decoded and were passed over, by folder and name."""
    losses: tuple[str, ...] = ()
    """What was lost of video files whose end was met, a sentence each."""
    metrics_address: str = ""
    """host:port of the process's metrics; empty if there are none."""
    trouble: str = ""
    """Why frames do not reach Kafka at the moment; empty if they do."""
    failure: str = ""
    """Why it failed; empty unless state is failed."""
    failure_exit_code: int = 0


class CameraJob:
    """Prepares a fleet, sends its frames, drains. `prepare` and `run` belong to one thread, the rest to any."""

    def __init__(self, plan: FleetPlan, telemetry: Telemetry) -> None:
        self._plan = plan
        self._telemetry = telemetry
        self._camera_run = new_camera_run(time.time_ns())
        self._state: State = "preparing"
        self._stopping = threading.Event()
        self._drain_seconds = DRAIN_SECONDS
        self._rendering: Rendering | None = None
        self._since_ns = 0
        self._sources: tuple[PictureSource, ...] = ()
        self._producer: FrameProducer | None = None
        self._fleet: Fleet | None = None
        self._connected_ns = 0
        self._start_ns: int | None = None

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    def prepare(self) -> None:
        """Render the streets and open the files; returns early if stopped.

        Raises InputError if a file can't be used, and ResourceError if the loops would not fit into memory.
        """
        cv2.setNumThreads(1)  # the cameras' share of the machine is one core
        rendering = self._rendering = Rendering(self._plan.streets, self._plan.seconds)
        require_memory(rendering.memory_bytes, psutil.virtual_memory().available)
        self._since_ns = time.time_ns()
        loops = rendering.run(lambda: not self.stopping)
        if loops is not None:
            self._sources = open_sources(self._plan.cameras, loops)
            self._state = "ready"

    def connect(self, connection: Connection, topic: str) -> None:
        """Reach out to Kafka, at any time before `run`; raises SettingsError if the connection's settings are wrong.

        The earlier the better: a start within `LEAD_SECONDS` is put off until then.
        """
        self._producer = FrameProducer(connection, topic=topic)
        self._connected_ns = time.time_ns()

    def run(self, partitions: int, start_ns: int) -> None:
        """Send from the instant `start_ns` on until the plan's seconds are over, all sources have ended, or stopped.

        Cameras that are not prepared or connected in time start when they are, and all of their instants move with
        the start: nothing was intended while there was no camera. Returns when every frame is acknowledged or counted
        as failed. Raises BrokerError if Kafka stays away, or lets no frame in for want of an ACL, and InputError if a
        file can't be read further.
        """
        producer, patience = self._producer, Patience()
        if producer is None:
            raise RuntimeError("run() before connect()")

        def tick() -> None:
            producer.require_allowed()
            patience.check(producer.sent, producer.failed, producer.unreachable_for, producer.trouble)

        fleet = self._fleet = Fleet(
            placed(self._plan.cameras, self._sources, partitions),
            producer,
            camera_run=self._camera_run,
            telemetry=self._telemetry,
            tick=tick,
        )
        if self.stopping:
            fleet.stop()
        start_ns = self._start_ns = max(start_ns, time.time_ns(), self._connected_ns + int(LEAD_SECONDS * 1e9))
        self._state = "sending"
        try:
            fleet.run(start_ns, self._plan.seconds)
            self._state = "draining"
        finally:
            fleet.finish(self._drain_seconds if self._state == "draining" else 0.0)
        producer.require_allowed()  # what was refused last is known now
        self._state = "ended"

    def stop(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """End soon: no further instant is intended, and frames under way get `drain_seconds` to be acknowledged."""
        self._drain_seconds = drain_seconds
        self._stopping.set()
        if self._fleet is not None:
            self._fleet.stop()

    def status(self) -> CameraStatus:
        """What it does and has counted."""
        return CameraStatus(
            state=self._state,
            pid=os.getpid(),
            camera_run=self._camera_run,
            since_ns=self._since_ns,
            rendered=self._rendering.rendered if self._rendering else 0,
            to_render=self._rendering.total if self._rendering else 0,
            start_ns=self._start_ns,
            counts=self._fleet.counts() if self._fleet else {each.id: CameraCounts() for each in self._plan.cameras},
            damaged=tuple(
                str(file) for source in self._sources if isinstance(source, FolderSource) for file in source.damaged
            ),
            losses=tuple(source.loss for source in self._sources if isinstance(source, VideoSource) and source.loss),
            trouble=self._producer.trouble if self._producer else "",
        )


def require_memory(wanted_bytes: int, available_bytes: int) -> None:
    """Raise ResourceError if rendered loops would take more than their share of the free memory."""
    if wanted_bytes > MEMORY_SHARE * available_bytes:
        raise ResourceError(
            f"the cameras' pictures, rendered ahead, would take {wanted_bytes / 1e9:.1f} GB and "
            f"{available_bytes / 1e9:.1f} GB of memory is free; use fewer cameras, a lower cameras.fps, "
            f"or smaller pictures (cameras.width, cameras.height)"
        )


class Patience:
    """Ends cameras when Kafka stays away: seconds without a broker in which frames failed and none arrived.

    Frames have to fail for it, since the client takes an idle connection that the broker closed for an outage too.
    """

    def __init__(self) -> None:
        self._sent = 0
        self._failed = 0

    def check(self, sent: int, failed: int, unreachable_seconds: float, trouble: str) -> None:
        """Look at the producer's counts; raises BrokerError if its patience is at an end."""
        if sent > self._sent or not unreachable_seconds:
            self._sent, self._failed = sent, failed
        elif failed > self._failed and unreachable_seconds > PATIENCE_SECONDS:
            raise BrokerError(f"{trouble}; no frame could be sent for {unreachable_seconds:.0f} s")
