"""What waits between the client and the batches: how much of it, and for whom others are held back."""

from collections import deque
from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaError, Message, TopicPartition

from pipeline.streams.read_ahead import RECORD_OVERHEAD, ReadAhead

SIZE = 1024 * 1024 - RECORD_OVERHEAD
ROOM = 8 * 1024 * 1024
"""Of records of `SIZE` there is room for eight."""
CHUNK = 128


class PlayedClient:
    """A consumer that hands over what it has in one order, and notes what is paused."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = deque(messages)
        self.paused: set[int] = set()

    def consume(self, limit: int, _: float) -> list[Message]:
        return [self._messages.popleft() for _ in range(min(limit, len(self._messages)))]

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {each.partition for each in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {each.partition for each in partitions}


def record(partition: int, append_ms: int, size: int = SIZE) -> Message:
    """A record as librdkafka hands it over."""
    return Message("f", partition, 0, b"", bytes(size), None, None, (2, append_ms))


def trouble(partition: int) -> Message:
    """An error in place of a record; it has no time."""
    return Message("f", partition, -1, None, None, None, KafkaError(KafkaError.LEADER_NOT_AVAILABLE), (0, -1))


def filled(messages: Iterable[Message], lag: dict[int, int], chunk: int = CHUNK) -> tuple[ReadAhead, PlayedClient]:
    """All that is taken over of these."""
    client = PlayedClient(messages)
    ahead = ReadAhead(client, "f", room=ROOM, chunk=chunk, linger=0.0)
    assert ahead.wait(0.0)
    ahead.fill(lambda: True, lambda: lag)
    return ahead, client


def weight(messages: Iterable[Any]) -> int:
    """Bytes that records are taken to occupy."""
    return sum(len(each) + RECORD_OVERHEAD for each in messages)


def test_no_more_is_taken_over_than_there_is_room_for() -> None:
    """However much the client has, and however large the records are."""
    ahead, _ = filled([record(0, number) for number in range(40)], {0: 40})
    assert weight(ahead.take(len(ahead))) == ROOM


def test_records_that_get_larger_exceed_the_room_by_a_chunk_of_them_at_most() -> None:
    """Of what is to come only the number can be chosen."""
    small = [record(0, number, 0) for number in range(40)]
    ahead, _ = filled([*small, *(record(0, 40 + number) for number in range(40))], {0: 80}, chunk=10)
    assert ROOM < weight(ahead.take(len(ahead))) < ROOM + 10 * (SIZE + RECORD_OVERHEAD)


def test_an_error_says_nothing_about_how_far_a_partition_has_come() -> None:
    """The next one of its records is awaited, and those of other partitions are not younger than that for it."""
    behind = [record(1, 100), trouble(1)]
    _, client = filled([*behind, *(record(0, 50 + number) for number in range(40))], {0: 1, 1: 1_000})
    assert client.paused == set()


def test_a_partition_of_which_all_waits_here_already_is_not_behind() -> None:
    """Its lag counts what waits, too; nobody is held back for records that nothing is left of to be fetched."""
    waiting = [record(1, number, 0) for number in range(10)]
    _, client = filled([*waiting, *(record(0, 50 + number) for number in range(40))], {0: 40, 1: 10}, chunk=5)
    assert client.paused == set()
