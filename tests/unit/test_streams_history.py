"""The alert history on a topic that the test plays: how long it waits, and what it makes of foreign records."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from pipeline.errors import InputError
from pipeline.records import ConsumedRecord
from pipeline.streams import history as module
from pipeline.streams.client import Connection
from pipeline.streams.history import KafkaAlertHistory
from pipeline.streams.outbox import TRANSACTION_SECONDS

COORDINATOR_SECONDS = 10.0
"""Kafka's default of transaction.abort.timed.out.transaction.cleanup.interval.ms."""


class PlayedTopic:
    """Stands in for the log ends and the reader of ``alerts``; partition n has the records of `logs[n]`."""

    def __init__(self, logs: Mapping[int, Sequence[bytes]]) -> None:
        self.logs = logs
        self.waits: list[float] = []

    def ends(self, *_: Any) -> "PlayedTopic":
        """In place of LogEnds."""
        return self

    def reader(self, *_: Any, **__: Any) -> "PlayedTopic":
        """In place of TopicReader."""
        return self

    def confirmed_since(self, partitions: Sequence[int], _: int) -> dict[int, tuple[int, int]]:
        """See LogEnds."""
        return {number: (0, len(self.logs[number])) for number in partitions}

    def read_to(self, ends: Mapping[int, int], timeout: float) -> Iterator[ConsumedRecord]:
        """See TopicReader."""
        self.waits.append(timeout)
        for number in ends:
            for offset, value in enumerate(self.logs[number]):
                yield ConsumedRecord(number, offset, 7, b"camera", value, ())

    def close(self) -> None:
        """See TopicReader."""


def decode(record: ConsumedRecord) -> tuple[str, str, int]:
    """The tests' alerts: the entry in the value."""
    if record.value == b"foreign":
        raise InputError("not an alert")
    return "camera", (record.value or b"").decode(), record.append_ns


def history(monkeypatch: pytest.MonkeyPatch, topic: PlayedTopic) -> KafkaAlertHistory:
    """A history on the played topic."""
    monkeypatch.setattr(module, "LogEnds", topic.ends)
    monkeypatch.setattr(module, "TopicReader", topic.reader)
    return KafkaAlertHistory(Connection("a:1"), topic="alerts", decode=decode)


def test_the_wait_outlasts_every_transaction_of_a_dead_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time-out, and the time until the coordinator looks for those that have passed."""
    topic = PlayedTopic({0: [b"a"]})
    assert history(monkeypatch, topic).recent([0], 0) == [("camera", "a", 7)]
    assert topic.waits[0] >= TRANSACTION_SECONDS + COORDINATOR_SECONDS + 5.0


def test_a_record_that_is_no_alert_is_skipped_counted_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever may write to the topic cannot stop a worker; the alerts around it count."""
    topic = PlayedTopic({0: [b"a", b"foreign", b"b", b"foreign"], 1: [b"foreign"]})
    made = history(monkeypatch, topic)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert [entry for _, entry, _ in made.recent([0, 1], 0)] == ["a", "b"]
    assert made.malformed == 3
    assert [each.getMessage().partition(":")[0] for each in caplog.records] == [
        "alerts, partition 0, offset 1",
        "alerts, partition 1, offset 0",
    ]
