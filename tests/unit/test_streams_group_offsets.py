"""Where the log starts is asked again while a partition has no leader, and no longer than that."""

from collections.abc import Sequence

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline.errors import BrokerError
from pipeline.streams import group_offsets
from pipeline.streams.group_offsets import GroupOffsets

SPAN = (3, 9)


class Member:
    """Answers each question with the next of some errors, then with a span; tells what it was asked."""

    def __init__(self, errors: Sequence[int]) -> None:
        self._errors = list(errors)
        self.asked: list[str] = []

    def get_watermark_offsets(self, place: TopicPartition, timeout: float, cached: bool) -> tuple[int, int]:
        """As a consumer's."""
        assert (place.topic, place.partition, cached) == ("frames", 2, False)
        self.asked.append("span")
        if self._errors:
            raise KafkaException(KafkaError(self._errors.pop(0)))
        return SPAN

    def list_topics(self, topic: str, timeout: float) -> None:
        """As a consumer's."""
        self.asked.append("leaders")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a pause between two questions."""
    monkeypatch.setattr(group_offsets, "RETRY_SECONDS", 0.0)


def test_a_partition_whose_leader_moves_is_asked_for_again_at_the_new_one() -> None:
    """A lost broker takes its leaderships with it for a moment, which is no end of a worker."""
    member = Member([KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE])
    assert GroupOffsets(member, "frames", "kafka:9092").log_span(2) == SPAN
    assert member.asked == ["span", "leaders", "span", "leaders", "span"]


def test_what_does_not_pass_is_an_error_at_once() -> None:
    """Asking again would not help."""
    member = Member([KafkaError.TOPIC_AUTHORIZATION_FAILED])
    with pytest.raises(BrokerError, match=r"kafka:9092: reading the log's start"):
        GroupOffsets(member, "frames", "kafka:9092").log_span(2)
    assert member.asked == ["span"]


def test_a_partition_that_stays_without_a_leader_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """After so long."""
    monkeypatch.setattr(group_offsets, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(BrokerError, match="leader"):
        GroupOffsets(Member([KafkaError.NOT_LEADER_FOR_PARTITION]), "frames", "kafka:9092").log_span(2)
