"""The job behind ``lamppost cameras``, and the cameras that settings describe."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from pipeline.cameras.counts import CameraCounts, summed
from pipeline.cameras.naming import camera_ids
from pipeline.cameras.plan import AnyCamera, FleetPlan, FolderCamera, SyntheticCamera, VideoCamera
from pipeline.catalog.topics import FRAME_BYTES, FRAMES
from pipeline.errors import InputError
from pipeline.runtime import settings as chosen
from pipeline.runtime.camera_job import CameraJob, CameraStatus
from pipeline.runtime.camera_metrics import CameraInstruments
from pipeline.runtime.connections import connection_of
from pipeline.runtime.targets import LOOPBACK, machine_address, reachable
from pipeline.runtime.words import counted
from pipeline.streams.client import Connection
from pipeline.streams.probe import probe
from pipeline.streams.topics import TopicAdmin
from pipeline.synthetic.seeds import Population, group
from pipeline.synthetic.street import StreetSpec
from pipeline.telemetry.discovery import TargetGroup, serve_discovery

LINE_SECONDS = 1.0
WALKERS = 1000
"""People of the watchlist who may walk through the streets, at most; the rest of a longer list stays away."""


def cameras(settings: chosen.Settings, verbose: bool) -> int:  # noqa: ARG001 - every job is told
    """Send frames until `cameras.seconds` are over, every source has ended, or interrupted; returns the exit code.

    Prints a line per second and the totals. The first SIGINT or SIGTERM drains, a second one ends at once.
    """
    console = Console(highlight=False, soft_wrap=True)
    connection = connection_of(settings, "lamppost-cameras")
    plan = FleetPlan(described(settings), settings.cameras.seconds)
    partitions = partitions_of_frames(connection)
    instruments = CameraInstruments(settings.metrics.host, settings.metrics.per_camera_limit, len(plan.cameras))()
    host, _, port = instruments.address.rpartition(":")
    targets = (TargetGroup((f"{reachable(host, LOOPBACK, machine_address())}:{port}",), {"role": "cameras"}),)
    discovery = serve_discovery(lambda: targets, settings.metrics.host, settings.metrics.port)
    try:
        console.print(
            f"{counted(len(plan.cameras), 'camera')} to {connection.brokers}; metrics are listed at {discovery.url}"
        )
        job = CameraJob(plan, instruments.telemetry)
        with _stopped_by_signals(lambda: job.stop(settings.lifecycle.drain_seconds)), _reported(job, console):
            job.connect(connection, FRAMES)
            job.prepare()
            if not job.stopping:
                job.run(partitions, time.time_ns())
    finally:
        discovery.stop()
        instruments.close()
    status = job.status()
    console.print(totals_line(status))
    for damage in damage_lines(status):
        console.print(damage)
    return 0


def described(settings: chosen.Settings) -> tuple[AnyCamera, ...]:
    """The cameras that the settings name: one per video file or folder, else synthetic ones."""
    said = settings.cameras
    if not said.sources:
        return synthetic_cameras(said, settings.demo.watchlist_size)
    ids = camera_ids(len(said.sources), said.districts)
    return tuple(_from_path(id_, Path(path), said) for id_, path in zip(ids, said.sources, strict=True))


def synthetic_cameras(said: chosen.Cameras, watchlist_size: int) -> tuple[SyntheticCamera, ...]:
    """A street for each camera; people of the watchlist, group `seed` of that population, walk through all of them.

    The spec of each camera's street is what its ground truth is recomputed from.
    """
    listed = group(Population.WATCHLIST, said.seed, min(watchlist_size, WALKERS))
    return tuple(
        SyntheticCamera(
            id_,
            StreetSpec(seed=said.seed, camera=id_, width=said.width, height=said.height, fps=said.fps, listed=listed),
        )
        for id_ in camera_ids(said.count, said.districts)
    )


def partitions_of_frames(connection: Connection) -> int:
    """How many partitions ``frames`` has; raises BrokerError if Kafka can't be reached or lacks the topic."""
    probe(connection)
    return TopicAdmin(connection).partitions_of(FRAMES)


def progress_line(status: CameraStatus, now_ns: int, before: CameraCounts) -> str:
    """One line for people: how far rendering or sending is, and the frames since `before`, a line ago."""
    if status.state == "preparing":
        return f"rendering {status.rendered:,} of {status.to_render:,} pictures{_left(status, now_ns)}"
    if status.start_ns is None:
        return "ready to send"
    if now_ns < status.start_ns:
        return f"the first frame is due in {(status.start_ns - now_ns) / 1e9:.1f} s"
    counts = summed(status.counts)
    elapsed = (now_ns - status.start_ns) / 1e9
    line = (
        f"{elapsed:7.1f} s  intended {counts.intended:,}  sent {counts.sent:,}  failed {counts.failed:,}"
        f"  {(counts.sent - before.sent) / LINE_SECONDS:,.0f} frames/s"
    )
    if status.damaged:
        line += f"  skipped {counted(len(status.damaged), 'picture')}"
    return f"{line}  {status.trouble}" if status.trouble else line


def damage_lines(status: CameraStatus) -> list[str]:
    """What could not be shown of folders and video files, and what was too large to be sent."""
    lines = list(status.losses)
    lines += [
        f"{camera}: {counted(counts.too_large, 'picture')} of more than {FRAME_BYTES:,} bytes not sent; "
        f"lower cameras.width and cameras.height"
        for camera, counts in sorted(status.counts.items())
        if counts.too_large
    ]
    if status.damaged:
        first = f"first {status.damaged[0]}" if len(status.damaged) > 1 else status.damaged[0]
        lines.append(f"skipped {counted(len(status.damaged), 'picture')} that cannot be decoded: {first}")
    return lines


def totals_line(status: CameraStatus) -> str:
    """What a fleet did, once it has ended."""
    counts = summed(status.counts)
    return (
        f"camera run {status.camera_run}: intended {counts.intended:,}, sent {counts.sent:,}, failed {counts.failed:,}"
    )


def _left(status: CameraStatus, now_ns: int) -> str:
    """How long rendering goes on at its pace so far; empty while that is not known."""
    if not status.rendered:
        return ""
    each = (now_ns - status.since_ns) / 1e9 / status.rendered
    return f", about {math.ceil(each * (status.to_render - status.rendered)):,} s left"


def _from_path(id_: str, path: Path, said: chosen.Cameras) -> VideoCamera | FolderCamera:
    if path.is_dir():
        return FolderCamera(id_, path, said.fps, said.width, said.height, said.loop)
    if not path.exists():
        raise InputError(f"{path} does not exist; name a video file or a folder of images")
    return VideoCamera(id_, path, said.width, said.height, said.loop)


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """The first SIGINT or SIGTERM calls `stop`; the next one does what it did before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(*_: object) -> None:
        restore()
        stop()

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()


@contextmanager
def _reported(job: CameraJob, console: Console) -> Iterator[None]:
    """Print a line per second from a thread of its own, which never holds up the cameras."""
    over = threading.Event()

    def report() -> None:
        before = CameraCounts()
        while not over.wait(LINE_SECONDS):
            status = job.status()
            console.print(progress_line(status, time.time_ns(), before))
            before = summed(status.counts)

    thread = threading.Thread(target=report, name="report", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
