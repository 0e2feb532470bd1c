"""Pictures up to the limit go from a camera through Kafka to a consumer; larger ones are refused, and only they."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from confluent_kafka import KafkaError, Producer
from numpy.typing import NDArray

from pipeline.cameras.counts import CameraCounts
from pipeline.cameras.jpeg import encode_jpeg
from pipeline.cameras.plan import FleetPlan, FolderCamera
from pipeline.catalog import metrics
from pipeline.catalog.topics import FRAME_BYTES, FRAMES, TOPICS
from pipeline.records import Batch, Frame
from pipeline.runtime.camera_job import CameraJob
from pipeline.runtime.cameras import damage_lines
from pipeline.streams.client import Connection
from pipeline.streams.consumer import KafkaFrameSource
from pipeline.streams.producer import FrameProducer
from pipeline.streams.topics import TopicAdmin
from pipeline.testing.telemetry import FakeTelemetry
from pipeline.wire import frames

pytestmark = pytest.mark.integration

CAMERA = "north/cam-000"
WIDTH = 2048
SMALL_BYTES = 500_000
"""Within the limit of every topic."""
LONGEST_ID = "\N{FACE WITH TEARS OF JOY}" * 200


def noise(rows: int) -> NDArray[np.uint8]:
    """A picture that no codec makes small, uint8[rows, WIDTH, 3]; more rows leave the first as they are."""
    return np.random.default_rng(7).integers(0, 256, (rows, WIDTH, 3), np.uint8)


def largest() -> int:
    """The most rows, in steps of a JPEG's block, of a noise that a camera may send."""
    fits, too_many = 16, 16 * 400
    while too_many - fits > 16:
        middle = (fits + too_many) // 32 * 16
        fits, too_many = (middle, too_many) if len(encode_jpeg(noise(middle))) <= FRAME_BYTES else (fits, middle)
    return fits


def refusal(kafka: Connection, topic: str, value: bytes, compression: str) -> KafkaError | None:
    """What Kafka says to one record of a producer that compresses and has no limit of its own."""
    said: list[KafkaError | None] = []
    producer = Producer(
        {"bootstrap.servers": kafka.brokers, "compression.type": compression, "message.max.bytes": 100_000_000}
    )
    producer.produce(topic, value, b"c", on_delivery=lambda error, _: said.append(error))
    producer.flush(30.0)
    return said[0]


@pytest.fixture
def own_topic(kafka: Connection, prefix: str) -> Callable[..., str]:
    """Makes a topic of the catalogue, with some settings changed, under a name of this test's own."""

    def make(name: str = FRAMES, **config: str) -> str:
        (topic,) = (topic for topic in TOPICS if topic.name == name)
        changed = {setting.replace("_", "."): value for setting, value in config.items()}
        own = msgspec.structs.replace(topic, name=f"{prefix}{name}", follows=None, config={**topic.config, **changed})
        TopicAdmin(kafka).create([own], partitions=1)
        return own.name

    return make


def consumed(kafka: Connection, topic: str, count: int) -> list[Frame]:
    """The first frames of the topic, as a worker reads them."""
    ignore = dict.fromkeys(("assigned", "revoked", "lost"), lambda _: None)
    source = KafkaFrameSource(kafka, topic=topic, group=f"{topic}-group", **ignore)
    batches: list[Batch] = []
    until = time.monotonic() + 30
    try:
        while sum(len(batch.records) for batch in batches) < count:
            assert time.monotonic() < until, "the frames did not come"
            batches += [batch] if (batch := source.poll(0.1)) is not None else []
    finally:
        source.close()
    return [frames.decode(record) for batch in batches for record in batch.records]


def sent(kafka: Connection, topic: str, pictures: Sequence[bytes], camera: str = CAMERA) -> tuple[list[bool], str]:
    """Hand pictures to a producer one after another: whether the broker has each, and what is said after the last."""
    producer = FrameProducer(kafka, topic=topic)
    told: list[bool] = []
    for number, jpeg in enumerate(pictures):
        if not producer.send(0, *frames.encode(Frame(camera, camera, number, time.time_ns(), jpeg)), told.append):
            told.append(False)
        assert producer.flush(20.0) == 0
    trouble = producer.trouble
    producer.close()
    return told, trouble


def test_a_picture_just_under_the_limit_arrives_and_one_over_it_is_counted_and_said(
    kafka: Connection, own_topic: Callable[..., str], tmp_path: Path
) -> None:
    """A folder's camera sends all of its other pictures, bit by bit as it encoded them."""
    rows = largest()
    pictures = {"a": noise(16), "b": noise(rows), "c": noise(rows + 16), "d": noise(32)}
    for name, image in pictures.items():
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), image, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    encoded = {name: encode_jpeg(image) for name, image in pictures.items()}
    assert FRAME_BYTES - 32_768 < len(encoded["b"]) <= FRAME_BYTES < len(encoded["c"])
    topic, telemetry = own_topic(), FakeTelemetry()
    job = CameraJob(FleetPlan((FolderCamera(CAMERA, tmp_path, fps=10.0, width=WIDTH, height=2 * rows),)), telemetry)
    job.connect(kafka, topic)
    job.prepare()
    job.run(1, time.time_ns())
    assert job.status().counts == {CAMERA: CameraCounts(intended=4, sent=3, failed=1, too_large=1)}
    assert telemetry.value(metrics.CAMERA_FRAMES, state="too_large", place=CAMERA) == 1
    (line,) = damage_lines(job.status())
    assert line.startswith("north/cam-000: 1 picture of more than 4,194,304 bytes not sent; lower cameras.width")
    arrived = consumed(kafka, topic, 3)
    assert [(frame.sequence, frame.jpeg) for frame in arrived] == [
        (number, encoded[name]) for number, name in ((0, "a"), (1, "b"), (3, "d"))
    ]


def test_a_picture_of_exactly_the_limit_fits_with_the_longest_names(
    kafka: Connection, own_topic: Callable[..., str]
) -> None:
    """What Kafka counts beside the picture has room of its own."""
    topic, jpeg = own_topic(), b"\xff\xd8\xff" + np.random.default_rng(3).bytes(FRAME_BYTES - 3)
    assert sent(kafka, topic, [jpeg], LONGEST_ID) == ([True], "")
    (frame,) = consumed(kafka, topic, 1)
    assert (frame.camera, frame.jpeg) == (LONGEST_ID, jpeg)


def test_a_topic_that_takes_less_refuses_a_picture_in_words_and_only_that_one(
    kafka: Connection, own_topic: Callable[..., str]
) -> None:
    """A broker's own default is 1 MiB; frames before and after arrive."""
    topic = own_topic(max_message_bytes="1048588")
    small, large = (b"\xff\xd8\xff" + bytes(size) for size in (100_000, 2_000_000))
    told, trouble = sent(kafka, topic, [small, large])
    assert told == [True, False]
    assert "publishing to" in trouble
    assert "MSG_SIZE_TOO_LARGE" in trouble
    assert "lamppost topics check" in trouble
    assert sent(kafka, topic, [large, small]) == ([False, True], "")
    assert [frame.jpeg for frame in consumed(kafka, topic, 2)] == [small, small]


@pytest.mark.parametrize(
    ("topic", "compression"),
    [(FRAMES, "lz4"), (FRAMES, "gzip"), *((topic.name, "zstd") for topic in TOPICS)],
)
def test_a_record_that_is_small_only_while_it_is_compressed_is_refused(
    kafka: Connection, own_topic: Callable[..., str], topic: str, compression: str
) -> None:
    """A consumer would have to take it apart, or could not; one within the limit arrives."""
    name = own_topic(topic)
    error = refusal(kafka, name, bytes(2 * FRAME_BYTES), compression)
    assert error is not None
    assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert refusal(kafka, name, bytes(SMALL_BYTES), compression) is None
