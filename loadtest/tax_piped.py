"""The piped half of the tax: real workers and shards on a local Kafka and Ray, fed faster than they can work."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray

from loadtest.network import pin
from loadtest.stream import Stream
from loadtest.tax_figures import Piped
from pipeline.actors.report import WorkReport
from pipeline.errors import ClusterError
from pipeline.records import Detections
from pipeline.runtime.composition import Looking, run_plan, shipped_looking
from pipeline.runtime.settings import Settings
from pipeline.runtime.supervision import Supervision, cluster_gpus, connected, supervised
from pipeline.streams.client import Connection
from pipeline.streams.producer import FrameProducer
from pipeline.wire import frames as frame_wire

LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 300.0
FACES = 3
"""Faces in every picture, as the trivial eyes see it: about as many as the demo's street has."""


class Feed:
    """Puts frames on the topic, camera after camera, faster than they can be worked on."""

    def __init__(self, connection: Connection, jpegs: Sequence[bytes], cameras: int, partitions: int) -> None:
        self._producer = FrameProducer(connection, topic="frames", delivery_timeout=60.0, queue_kib=512 * 1024)
        self._stream = Stream("tax", jpegs, cameras, partitions)

    def send(self, frames: int) -> None:
        """Send `frames` more and wait until the broker has them."""
        for _ in range(frames):
            partition, frame = self._stream.next()
            self._producer.send(partition, *frame_wire.encode(frame))
            self._producer.serve()
        self._producer.flush(60.0)

    def close(self) -> None:
        """Free the producer."""
        self._producer.close()


class TrivialEyes:
    """Sees the same faces in every picture at once; what is left of a worker's CPU is transport."""

    dimension = 128
    version = "trivial"

    def __init__(self) -> None:
        points = np.random.default_rng(1).standard_normal((FACES, self.dimension)).astype(np.float32)
        self._templates = points / np.linalg.norm(points, axis=1, keepdims=True)
        boxes = np.tile(np.array([10, 10, 50, 50], np.float32), (FACES, 1))
        self._found = Detections(boxes, np.zeros((FACES, 5, 2), np.float32), np.ones(FACES, np.float32))

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """The same faces in each."""
        return [self._found] * len(images)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same templates."""
        return np.tile(self._templates, (len(crops) // FACES, 1))


def trivial_looking(settings: Settings) -> Looking:
    """Eyes that cost nothing, and a threshold that nobody reaches."""
    del settings
    picture = np.zeros((8, 8, 3), np.uint8)
    crops = np.zeros((FACES, 1, 1, 3), np.uint8)
    eyes = TrivialEyes()
    return Looking(lambda _: picture, eyes, lambda *_: crops, eyes, threshold=1.1)


Look = Callable[[Settings], Looking]


def piped_run(
    settings: Settings,
    address: str,
    connection: Connection,
    jpegs: Sequence[bytes],
    *,
    frames: int,
    warm_up: int,
    cameras: int,
    cores: frozenset[int],
    broker_pid: int,
    look: Look = shipped_looking,
) -> Piped:
    """Run workers and shards over `frames` frames after `warm_up` others; both kinds pinned to `cores`.

    `settings` name the run. Raises ClusterError if it does not get through.
    """
    run = str(settings.run.name)
    with (
        connected(address, run, verbose=False),
        supervised(run_plan(settings, run, look, gpus=cluster_gpus())) as supervision,
    ):
        _await(supervision, lambda status: bool(status.ready))
        feed = Feed(connection, jpegs, cameras, settings.run.partitions)
        try:
            feed.send(warm_up)
            _await(supervision, lambda status: _processed(status) >= warm_up)
            status = supervision.status()
            workers = [psutil.Process(each.pid) for each in status.workers]
            shards = [psutil.Process(each.pid) for each in status.shards]
            for process in (*workers, *shards):
                pin(process.pid, cores)
            broker = [psutil.Process(broker_pid)]
            before = [_cpu(each) for each in (workers, shards, broker)]
            batches = _work(status).batches
            began_ns = time.time_ns()
            feed.send(frames)
            _await(supervision, lambda status: _processed(status) >= warm_up + frames)
            after = [_cpu(each) for each in (workers, shards, broker)]
            work = _work(supervision.status())
        finally:
            feed.close()
        supervision.stop(settings.lifecycle.drain_seconds)
    worker, shard, kafka = (b - a for a, b in zip(before, after, strict=True))
    return Piped(frames, (work.last_commit_ns - began_ns) / 1e9, worker, shard, kafka, work.batches - batches)


def _cpu(processes: Sequence[psutil.Process]) -> float:
    return float(sum(sum(each.cpu_times()[:2]) for each in processes))


def _work(status: Any) -> WorkReport:
    return msgspec.msgpack.decode(status.work, type=WorkReport)


def _processed(status: Any) -> int:
    return sum(_work(status).outcomes.values())


def _await(supervision: Supervision, reached: Callable[[Any], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        status = supervision.status()
        if status.failure:
            raise ClusterError(status.failure)
        if reached(status):
            return
        if time.monotonic() > deadline:
            raise ClusterError(f"the benchmark's run stood still for {PATIENCE_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)
