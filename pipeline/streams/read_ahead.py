"""Records that the client has handed over and that wait for their turn: the oldest of all partitions first.

librdkafka hands over what it fetched partition by partition, a long stretch of each, and serves partitions evenly. One
that once fell behind stays behind by as much, and may fall further: it then bears most of what an age limit sheds. So
what the client has is taken over, up to a number of bytes, and given on by append time. Where a partition is so far
behind that the room is full of younger records, the others are not fetched until it has come up to them, or nothing
waits any more: its leader may be away, and theirs are not.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from confluent_kafka import Message, TopicPartition

from pipeline.core.turns import Turns
from pipeline.streams.messages import place

RECORD_OVERHEAD: Final = 1024
"""Bytes that a record is taken to occupy besides its value, so that the number of small ones is bounded, too."""


class ReadAhead:
    """What waits between a confluent-kafka consumer and the batches; its methods raise that one's KafkaException."""

    def __init__(self, consumer: Any, topic: str, *, room: int, chunk: int, linger: float) -> None:
        """`room` in bytes; `chunk` records at most are asked of the client at a time.

        The room is exceeded by no more than a chunk whose records are heavier than those before it, and by a batch that
        is fetched though it does not fit. For records of a partition that is behind, `linger` seconds are waited rather
        than to go on with younger ones.
        """
        self._consumer = consumer
        self._topic = topic
        self._room = room
        self._chunk = chunk
        self._linger = linger
        self._turns: Turns[Message] = Turns()
        self._held_back: frozenset[int] = frozenset()

    def __len__(self) -> int:
        """Return how many records wait."""
        return len(self._turns)

    def wait(self, timeout: float) -> bool:
        """Whether anything waits; if nothing does, up to `timeout` seconds are waited for a first record."""
        if self._turns:
            return True
        # who is behind gives nothing, and the others wait for it in vain
        self.release()
        return self.fetch(1, timeout) > 0

    def fetch(self, limit: int, timeout: float) -> int:
        """Take over up to `limit` records, waiting for them up to `timeout` seconds; returns how many came."""
        messages: list[Message] = self._consumer.consume(limit, timeout)
        for message in messages:
            # an error has no time, and is met as soon as all that came before it from its partition
            append_ms = None if message.error() is not None else message.timestamp()[1]
            self._turns.add(place(message)[0], append_ms, len(message) + RECORD_OVERHEAD, message)
        return len(messages)

    def fill(self, going_on: Callable[[], bool], lag: Callable[[], Mapping[int, int]]) -> None:
        """Take over all that the client has and there is room for, as long as it is `going_on`.

        `lag` counts the records of a partition that were not taken from here yet, so also those that wait. Something
        has to wait already.
        """
        until = time.monotonic() + self._linger
        while going_on():
            younger = self._younger(lag())
            # a partition that is behind has come up to one that is held back, or has no more to fetch
            if not self._held_back <= younger.keys():
                self.release()
            if self._turns.weight >= self._room:
                if not self._held_back and sum(younger.values()) >= self._room // 2:
                    self._held_back = frozenset(younger)
                    self._consumer.pause(self._partitions(self._held_back))
                break
            if not self.fetch(self._fitting(), max(0.0, until - time.monotonic()) if younger else 0.0):
                break

    def take(self, limit: int) -> list[Message]:
        """The `limit` oldest, or as many as there are; of each partition the next."""
        return [self._turns.take() for _ in range(min(limit, len(self._turns)))]

    def keep(self, partitions: Iterable[int]) -> None:
        """Forget what waits of all other partitions, and fetch every one again."""
        self.release()
        self._turns.keep(frozenset(partitions))

    def release(self) -> None:
        """Fetch every partition again; none may be paused by anyone else."""
        held_back, self._held_back = self._held_back, frozenset()
        if held_back:
            self._consumer.resume(self._partitions(held_back))

    def _younger(self, lags: Mapping[int, int]) -> Mapping[int, int]:
        """Partitions of which all that waits is younger than what another has yet to be fetched, with their weights."""
        latest = [
            time
            for number, time in self._turns.latest.items()
            if number not in self._held_back and lags.get(number, 0) - self._turns.waiting(number) > self._chunk
        ]
        return self._turns.younger(min(latest)) if latest else {}

    def _fitting(self) -> int:
        """How many more records there is room for if they are like those that wait: one at least, a chunk at most."""
        left = (self._room - self._turns.weight) * len(self._turns) // max(1, self._turns.weight)
        return min(max(1, left), self._chunk)

    def _partitions(self, numbers: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in sorted(numbers)]
