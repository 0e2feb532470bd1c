"""The Kafka frame source on a client that the test plays: what librdkafka may deliver, and what becomes of it."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, TopicPartition

from pipeline.errors import BrokerError, CustodyError
from pipeline.records import OffsetRange
from pipeline.streams.client import Connection
from pipeline.streams.consumer import KafkaFrameSource

Step = Callable[[], list[Message]]


class PlayedConsumer:
    """Stands in for confluent-kafka's consumer: each consume() plays the next step of a script."""

    def __init__(self, script: list[Step | list[Message]]) -> None:
        self.script = script
        self.committed_offsets: dict[int, int] = {}
        self.log_start = 0
        self.log_end = 100
        self.assigned: dict[int, int] = {}
        self.paused: set[int] = set()
        self.in_callback = False
        self.asked_in_callback: list[bool] = []
        self.callbacks: dict[str, Callable[[Any, list[TopicPartition]], None]] = {}

    def subscribe(self, _: list[str], **callbacks: Callable[[Any, list[TopicPartition]], None]) -> None:
        self.callbacks = callbacks

    def consume(self, _: int, __: float) -> list[Message]:
        if not self.script:
            return []
        step = self.script.pop(0)
        return step if isinstance(step, list) else step()

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self.asked_in_callback.append(self.in_callback)
        return [TopicPartition("f", tp.partition, self.committed_offsets.get(tp.partition, -1001)) for tp in asked]

    def get_watermark_offsets(self, _: TopicPartition, **__: Any) -> tuple[int, int]:
        return self.log_start, self.log_end

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned |= {tp.partition: tp.offset for tp in partitions}

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        for tp in partitions:
            del self.assigned[tp.partition]

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {tp.partition for tp in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {tp.partition for tp in partitions}

    def consumer_group_metadata(self) -> bytes:
        return b"membership"

    def call(self, callback: str, *partitions: int, then: list[Message] | None = None) -> Step:
        """A step in which a rebalance callback runs, and records come behind it."""

        def play() -> list[Message]:
            self.in_callback = True
            self.callbacks[callback](self, [TopicPartition("f", number) for number in partitions])
            self.in_callback = False
            return then or []

        return play


def frame(partition: int, offset: int) -> Message:
    """A record as librdkafka hands it over."""
    return Message("f", partition, offset, b"camera", b"jpeg", None, None, (2, 1_800_000_000_000))


def trouble(code: int, partition: int = 0, offset: int = 0) -> Message:
    """An error in place of a record."""
    return Message("f", partition, offset, None, None, None, KafkaError(code), (0, 0))


class Source:
    """A source and its played client; `told` lists the callbacks."""

    def __init__(
        self, *script: list[Message], partitions: tuple[int, ...] = (0,), committed: int | None = None
    ) -> None:
        self.client = PlayedConsumer([])
        if committed is not None:
            self.client.committed_offsets = dict.fromkeys(partitions, committed)
        self.client.script = [self.client.call("on_assign", *partitions), *script]
        self.told: list[tuple[str, Any]] = []
        self.source = KafkaFrameSource(
            Connection("a:1"),
            topic="f",
            group="g",
            assigned=lambda starts: self.told.append(("assigned", dict(starts))),
            revoked=lambda gone: self.told.append(("revoked", list(gone))),
            lost=lambda gone: self.told.append(("lost", list(gone))),
            open_consumer=lambda *_, **__: self.client,
        )
        assert self.source.poll(0) is None


def test_a_record_dropped_inside_the_client_breaks_custody() -> None:
    """The log starts at 0, so retention does not explain that offset 1 is missing."""
    played = Source([frame(0, 0)], [frame(0, 2)])
    with pytest.raises(CustodyError, match="partition 0: offsets 1 to 1 were not delivered"):
        played.source.poll(0)


def test_a_gap_below_the_log_start_is_expired() -> None:
    """It is told with the record behind it."""
    played = Source([frame(0, 0)], [frame(0, 5)])
    played.client.log_start = 5
    batch = played.source.poll(0)
    assert batch is not None
    assert [record.offset for record in batch.records] == [0, 5]
    assert batch.expired == (OffsetRange(0, 1, 5),)


def test_a_record_delivered_twice_breaks_custody() -> None:
    """Positions only go forward but by a rewind."""
    played = Source([frame(0, 0)], [frame(0, 0)])
    with pytest.raises(CustodyError, match="delivered again"):
        played.source.poll(0)


def test_an_offset_out_of_range_is_an_expired_range_and_is_read_on_behind_it() -> None:
    """Without any record behind the gap."""
    played = Source([trouble(KafkaError._AUTO_OFFSET_RESET, 0, 3)], committed=3)
    played.client.log_start = 7
    batch = played.source.poll(0)
    assert batch is not None
    assert (batch.records, batch.expired) == ((), (OffsetRange(0, 3, 7),))
    assert played.client.assigned == {0: 7}


def test_an_offset_beyond_the_log_breaks_custody() -> None:
    """A topic that was made anew has not expired."""
    played = Source([trouble(KafkaError._AUTO_OFFSET_RESET, 0, 300)], committed=300)
    with pytest.raises(CustodyError, match="the log ends at offset 100, before offset 300"):
        played.source.poll(0)


def test_partitions_that_stay_are_read_again_from_their_committed_offsets() -> None:
    """After a revocation, before any batch is given: every batch in flight was dropped."""
    played = Source([frame(0, 0)], [frame(1, 0)], partitions=(0, 1))
    batch = played.source.poll(0)
    assert batch is not None
    played.client.committed_offsets = {1: 0}
    played.client.script = [played.client.call("on_revoke", 0, then=[frame(1, 1)]), [], [frame(1, 0)]]
    assert played.source.poll(0) is None
    assert played.client.assigned == {1: 0}
    assert played.source.assignment > batch.assignment
    again = played.source.poll(0)
    assert again is None
    again = played.source.poll(0)
    assert again is not None
    assert [(record.partition, record.offset) for record in again.records] == [(1, 0)]


def test_records_of_new_partitions_survive_the_assignment_that_brought_them() -> None:
    """They are given with the next poll, and nothing is fetched twice."""
    client_script: list[list[Message]] = []
    played = Source(*client_script)
    played.client.script = [played.client.call("on_assign", 1, then=[frame(0, 0), frame(1, 0)])]
    assert played.source.poll(0) is None
    batch = played.source.poll(0)
    assert batch is not None
    assert [(record.partition, record.offset) for record in batch.records] == [(1, 0)]
    assert played.client.assigned == {0: 0, 1: 0}


def test_a_lost_partition_is_told_as_lost() -> None:
    """And its position is forgotten."""
    played = Source()
    played.client.script = [played.client.call("on_lost", 0)]
    played.source.poll(0)
    assert played.told == [("assigned", {0: 0}), ("lost", [0])]
    assert played.source.rewind() == {}


def test_a_pause_keeps_no_picture_and_loses_none() -> None:
    """Neither of those that waited before it nor of those that come in spite of it: they are fetched again."""
    played = Source([frame(0, 0), frame(0, 1), frame(0, 2)], committed=0)
    batch = played.source.poll(0, 1)
    assert batch is not None
    assert [record.offset for record in batch.records] == [0]
    played.client.script = [[frame(0, 3)]]
    played.source.pause()
    assert played.client.paused == {0}
    assert played.source.poll(0) is None
    assert len(played.source._ahead) == 0
    played.source.resume()
    assert (played.client.paused, played.client.assigned) == (set(), {0: 1})
    played.client.script = [[frame(0, 1)]]
    batch = played.source.poll(0)
    assert batch is not None
    assert [record.offset for record in batch.records] == [1]


def test_what_retention_takes_during_a_pause_is_expired() -> None:
    """Though it had been fetched before."""
    played = Source([frame(0, 0), frame(0, 1)], committed=0)
    played.source.poll(0, 1)
    played.source.pause()
    played.client.log_start = 5
    played.source.resume()
    played.client.script = [[frame(0, 5)]]
    batch = played.source.poll(0)
    assert batch is not None
    assert [record.offset for record in batch.records] == [5]
    assert batch.expired == (OffsetRange(0, 1, 5),)


def test_errors_that_stay_end_a_source_that_is_paused() -> None:
    """An offset out of range does not: it is told again after the pause, with what expired."""
    played = Source([trouble(KafkaError._AUTO_OFFSET_RESET)], [trouble(KafkaError.GROUP_AUTHORIZATION_FAILED)])
    played.source.pause()
    assert played.source.poll(0) is None
    with pytest.raises(BrokerError, match="reading f failed"):
        played.source.poll(0)


def test_partitions_stay_paused_through_a_rewind() -> None:
    """Assigning them anew would make them run again."""
    played = Source()
    played.source.pause()
    played.client.paused.clear()
    played.source.rewind()
    assert played.client.paused == {0}


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._MAX_POLL_EXCEEDED])
def test_errors_that_pass_are_waited_out(code: int) -> None:
    """librdkafka goes on by itself."""
    assert Source([trouble(code)]).source.poll(0) is None


@pytest.mark.parametrize("code", [KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_errors_that_stay_end_the_source(code: int) -> None:
    """In one line with the address."""
    with pytest.raises(BrokerError, match="Kafka at a:1: reading f failed"):
        Source([trouble(code)]).source.poll(0)


def test_committed_offsets_are_asked_for_within_the_callback() -> None:
    """With the classic protocol the coordinator's connection is blocked after it, until every member has joined."""
    played = Source(partitions=(0, 1))
    played.client.script = [played.client.call("on_revoke", 0), played.client.call("on_assign", 0)]
    played.source.poll(0)
    played.source.poll(0)
    assert len(played.client.asked_in_callback) == 4
    assert all(played.client.asked_in_callback)
