"""Records as librdkafka hands them over, as Lamppost's own."""

from typing import cast

from confluent_kafka import Message

from pipeline.records import ConsumedRecord

NS_PER_MS = 1_000_000


def consumed_record(message: Message) -> ConsumedRecord:
    """A message without error as a record; its time is what the topic stamps (frames: the broker's append time)."""
    partition, offset = place(message)
    headers = cast(list[tuple[str, bytes | None]] | None, message.headers())
    return ConsumedRecord(
        partition,
        offset,
        message.timestamp()[1] * NS_PER_MS,
        message.key(),
        message.value(),
        tuple(headers or ()),
    )


def place(message: Message) -> tuple[int, int]:
    """Partition and offset of a consumed message; an error that concerns no partition has -1 for what it lacks."""
    partition, offset = message.partition(), message.offset()
    return (-1 if partition is None else partition, -1 if offset is None else offset)
