"""A Kafka that is not there is one clear line within seconds, and nothing of librdkafka's reaches the user."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pipeline.errors import BrokerError
from pipeline.records import OutgoingRecord
from pipeline.streams.client import Connection
from pipeline.streams.consumer import KafkaFrameSource
from pipeline.streams.outbox import KafkaOutbox
from pipeline.streams.probe import probe
from pipeline.streams.producer import FrameProducer
from pipeline.streams.reader import TopicReader
from pipeline.streams.writer import RecordWriter


@pytest.fixture
def nowhere() -> Iterator[Connection]:
    """An address where nobody listens, and nobody else can while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield Connection(f"127.0.0.1:{held.getsockname()[1]}")


def test_the_probe_names_the_address_and_the_cause(nowhere: Connection) -> None:
    """Within its time-out, in one line."""
    began = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        probe(nowhere, timeout=1.0)
    assert time.monotonic() - began < 3.0
    assert str(caught.value).startswith(f"Kafka at {nowhere.brokers}: connection failed: ")
    assert "Connection refused" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_something_that_is_not_kafka_is_no_broker() -> None:
    """A port that listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(BrokerError, match=r"no answer|timed out"):
        probe(Connection(f"127.0.0.1:{server.getsockname()[1]}"), timeout=1.0)


def test_a_frame_source_gives_up_after_its_patience(nowhere: Connection) -> None:
    """It waits quietly before, since brokers restart."""
    source = KafkaFrameSource(
        nowhere,
        topic="frames",
        group="g",
        assigned=lambda _: None,
        revoked=lambda _: None,
        lost=lambda _: None,
        patience=0.5,
    )
    began = time.monotonic()
    with pytest.raises(BrokerError, match=nowhere.brokers):
        while time.monotonic() - began < 20:
            assert source.poll(0.1) is None
    assert 0.5 <= time.monotonic() - began < 10
    source.close()


def test_an_outbox_is_not_made_without_a_broker(nowhere: Connection) -> None:
    """Its constructor has to fence the predecessor, and says so when it cannot."""
    began = time.monotonic()
    with pytest.raises(BrokerError, match="taking over the transactional id failed"):
        KafkaOutbox(nowhere, topic="frames", transactional_id="w", deadline=1.0)
    assert time.monotonic() - began < 10


def test_a_reader_is_not_made_without_a_broker(nowhere: Connection) -> None:
    """It has to learn the partitions."""
    with pytest.raises(BrokerError, match="Connection refused"):
        TopicReader(nowhere, "watchlist")


def test_a_writer_says_that_nothing_was_written(nowhere: Connection) -> None:
    """After its delivery time-out."""
    writer = RecordWriter(nowhere, delivery_timeout=1.0)
    with pytest.raises(BrokerError, match="writing to watchlist failed"):
        writer.write([OutgoingRecord("watchlist", b"k", b"v")])
    writer.close()


def test_frames_that_find_no_broker_have_failed(nowhere: Connection) -> None:
    """Those in the queue when their time is over, those that find it full at once; nothing waits meanwhile."""
    producer = FrameProducer(nowhere, topic="frames", delivery_timeout=1.0, queue_kib=256)
    said: list[bool] = []
    began = time.monotonic()
    taken = [producer.send(0, b"camera", b"x" * 100_000, [], said.append) for _ in range(5)]
    assert time.monotonic() - began < 0.5
    assert taken[0]
    assert not taken[-1]
    assert producer.failed == taken.count(False)
    assert producer.flush(10.0) == 0
    assert (producer.sent, producer.failed, producer.waiting) == (0, 5, 0)
    assert said == [False] * taken.count(True)
    assert "Connection refused" in producer.trouble
    producer.close()


def test_librdkafka_prints_nothing(nowhere: Connection) -> None:
    """Neither while it tries to connect nor when it gives up."""
    script = f"""
from pipeline.errors import BrokerError
from pipeline.streams.client import Connection
from pipeline.streams.outbox import KafkaOutbox
from pipeline.streams.probe import probe
for make in (lambda c: probe(c, 1.0), lambda c: KafkaOutbox(c, topic="f", transactional_id="w", deadline=1.0)):
    try:
        make(Connection("{nowhere.brokers}"))
    except BrokerError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2
