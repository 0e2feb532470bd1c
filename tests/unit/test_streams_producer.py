"""What a producer makes of frames that Kafka refuses."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.errors import BrokerError
from pipeline.streams.client import DENIED_CODES, Connection
from pipeline.streams.producer import FrameProducer


class PlayedProducer:
    """A client that lets the test say what became of each frame."""

    def __init__(self) -> None:
        self.outcomes: list[Callable[[KafkaError | None, Any], None]] = []
        self.fatal: KafkaError | None = None

    def produce(self, *_: object, on_delivery: Callable[[KafkaError | None, Any], None], **__: object) -> None:
        self.outcomes.append(on_delivery)

    def poll(self, _: float) -> None:
        if self.fatal is not None:
            raise KafkaException(self.fatal)

    flush = poll

    def end(self, error: KafkaError | None) -> None:
        self.outcomes.pop(0)(error, None)


@pytest.fixture
def client() -> PlayedProducer:
    return PlayedProducer()


@pytest.fixture
def producer(client: PlayedProducer) -> FrameProducer:
    made = FrameProducer(Connection("k:9092"), topic="frames", open_producer=lambda *_, **__: client)
    for _ in range(2):
        assert made.send(0, b"camera", b"frame", [])
    return made


@pytest.mark.parametrize("code", sorted(DENIED_CODES))
def test_frames_that_no_acl_allows_are_no_success(client: PlayedProducer, producer: FrameProducer, code: int) -> None:
    """Every one of them would fail until the end, and the command say that it sent 0."""
    client.end(KafkaError(code))
    with pytest.raises(BrokerError, match=r"publishing to frames failed: .*no ACL allows"):
        producer.require_allowed()


def test_an_acl_that_is_taken_away_later_does_not_end_cameras(client: PlayedProducer, producer: FrameProducer) -> None:
    """It may come back, and what was sent is there; the trouble is told."""
    client.end(None)
    client.end(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    producer.require_allowed()
    assert "no ACL allows" in producer.trouble


@pytest.mark.parametrize("code", [KafkaError._MSG_TIMED_OUT, KafkaError.NOT_ENOUGH_REPLICAS])
def test_frames_that_fail_otherwise_are_not_taken_for_denied(
    client: PlayedProducer, producer: FrameProducer, code: int
) -> None:
    """Those may go on after a while."""
    client.end(KafkaError(code))
    producer.require_allowed()


def test_what_ends_the_client_is_a_line_of_lampposts(client: PlayedProducer, producer: FrameProducer) -> None:
    """As a broker does that lets nobody without a right to write have an idempotent producer."""
    client.fatal = KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "no producer id", fatal=True)
    with pytest.raises(BrokerError, match=r"publishing to frames failed: no producer id .*no ACL allows"):
        producer.serve()
    assert producer.flush(0.0) == 2
    with pytest.raises(BrokerError, match="no producer id"):
        producer.require_allowed()
