"""Frames on the topic are the frames that were sent, on the partitions of the rule, and the counts are the topic's."""

import time
from collections.abc import Callable, Mapping, Sequence

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.cameras.counts import summed
from pipeline.cameras.naming import camera_ids
from pipeline.cameras.plan import FleetPlan, SyntheticCamera
from pipeline.cameras.synthetic import Rendering
from pipeline.core.sharding import partition_of
from pipeline.records import Frame
from pipeline.runtime.camera_metrics import CameraInstruments
from pipeline.runtime.camera_process import CameraProcess
from pipeline.streams.client import Connection
from pipeline.streams.messages import consumed_record
from pipeline.synthetic.street import StreetSpec
from pipeline.wire import frames

pytestmark = pytest.mark.integration

PARTITIONS = 3
CAMERAS = 4
INSTRUMENTS = CameraInstruments("127.0.0.1", 64, CAMERAS)


def fleet(seconds: float | None, fps: float = 10.0) -> FleetPlan:
    """Small cameras with different streets."""
    return FleetPlan(
        tuple(
            SyntheticCamera(id_, StreetSpec(seed=4, camera=id_, width=160, height=96, fps=fps))
            for id_ in camera_ids(CAMERAS, ("north", "south"))
        ),
        seconds,
    )


@pytest.fixture
def topic(kafka: Connection, prefix: str) -> str:
    """A topic for frames, with append times."""
    name = f"{prefix}frames"
    admin = AdminClient({"bootstrap.servers": kafka.brokers})
    wanted = NewTopic(name, PARTITIONS, 1, config={"message.timestamp.type": "LogAppendTime"})
    admin.create_topics([wanted])[name].result()
    return name


def read_frames(kafka: Connection, topic: str) -> dict[str, list[tuple[int, Frame]]]:
    """Every frame on a topic, by camera, with its partition, in the order of the log."""
    consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": "unused", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found: dict[str, list[tuple[int, Frame]]] = {}
    at_end: set[int] = set()
    deadline = time.monotonic() + 30
    while len(at_end) < PARTITIONS:
        assert time.monotonic() < deadline, "the topic could not be read to its end"
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error() is not None:
            at_end.add(message.partition())
            continue
        record = consumed_record(message)
        frame = frames.decode(record)
        found.setdefault(frame.camera, []).append((record.partition, frame))
    consumer.close()
    return found


def check_log(found: Mapping[str, Sequence[tuple[int, Frame]]], plan: FleetPlan, start_ns: int, run: str) -> None:
    """Every camera's frames: complete, in order, on its partition, at their instants, and the street's pictures."""
    loops = Rendering(plan.streets, plan.seconds).run(lambda: True)
    assert loops is not None
    assert set(found) == {camera.id for camera in plan.cameras}
    for index, camera in enumerate(plan.cameras):
        assert isinstance(camera, SyntheticCamera)
        assert {partition for partition, _ in found[camera.id]} == {partition_of(index, PARTITIONS)}
        sent = [frame for _, frame in found[camera.id]]
        assert [frame.sequence for frame in sent] == list(range(len(sent)))
        phase = index * 100_000_000 // CAMERAS
        assert [frame.capture_ns - start_ns - phase for frame in sent] == [n * 100_000_000 for n in range(len(sent))]
        assert {frame.camera_run for frame in sent} == {run}
        loop = loops[camera.street]
        assert all(frame.jpeg == loop[frame.sequence % len(loop)] for frame in sent)


def test_frames_on_the_topic_are_those_that_were_sent(
    kafka: Connection, topic: str, eventually: Callable[..., None]
) -> None:
    """Four cameras at 10 frames/s for 3 s: 120 frames intended, sent, and on the topic as they were rendered."""
    plan = fleet(3.0)
    process = CameraProcess(plan, INSTRUMENTS)
    try:
        process.connect(kafka, topic)
        process.start(PARTITIONS, time.time_ns())
        eventually(lambda: process.check().state == "ended", "the end", 60.0)
    finally:
        status = process.stop()
    counts = summed(status.counts)
    assert (counts.intended, counts.sent, counts.failed) == (120, 120, 0)
    assert status.start_ns is not None
    check_log(read_frames(kafka, topic), plan, status.start_ns, status.camera_run)


def test_stop_drains_and_leaves_nothing_uncounted(
    kafka: Connection, topic: str, eventually: Callable[..., None]
) -> None:
    """Stopped in mid-run, what was intended was sent, and the topic holds exactly that."""
    plan = fleet(20.0)
    process = CameraProcess(plan, INSTRUMENTS)
    try:
        process.connect(kafka, topic)
        process.start(PARTITIONS, time.time_ns())
        eventually(lambda: summed(process.check().counts).sent >= 40, "forty frames", 60.0)
    finally:
        status = process.stop()
    assert status.state == "ended"
    counts = summed(status.counts)
    assert counts.sent == counts.intended >= 40
    found = read_frames(kafka, topic)
    assert {camera: len(sent) for camera, sent in found.items()} == {
        camera: each.sent for camera, each in status.counts.items()
    }
    assert status.start_ns is not None
    check_log(found, plan, status.start_ns, status.camera_run)
