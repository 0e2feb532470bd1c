"""Writing records outside any transaction: the watchlist's commands, and whatever else says one thing and waits."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline.errors import BrokerError
from pipeline.records import OutgoingRecord
from pipeline.streams.client import Connection, Notices, broker_error

DELIVERY_SECONDS: Final = 10.0


class RecordWriter:
    """An idempotent producer that answers when the broker has everything; one thread uses it."""

    def __init__(
        self,
        connection: Connection,
        *,
        delivery_timeout: float = DELIVERY_SECONDS,
        open_producer: Callable[..., Any] = Producer,
    ) -> None:
        """`delivery_timeout`: seconds until a record that is not acknowledged has failed."""
        self._brokers = connection.brokers
        self._notices = Notices()
        self._refused: list[tuple[str, KafkaError]] = []
        self._offsets: dict[tuple[str, int], int] = {}
        self._timeout = delivery_timeout
        self._producer = connection.open(
            open_producer,
            self._notices,
            {
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "none",
                "delivery.timeout.ms": int(delivery_timeout * 1000),
            },
        )

    def write(self, records: Sequence[OutgoingRecord]) -> dict[tuple[str, int], int]:
        """Write `records` in order and wait for the broker; returns the last offset per (topic, partition).

        Raises BrokerError if any was refused or not acknowledged in time; others may have been written.
        """
        self._refused.clear()
        self._offsets.clear()
        for record in records:
            self._hand_over(record)
        waiting = self._producer.flush(self._timeout + 1.0)
        if self._refused:
            topic, error = self._refused[0]
            raise broker_error(self._brokers, f"writing to {topic}", error, self._notices.cause())
        if waiting:
            raise BrokerError(f"Kafka at {self._brokers}: {waiting} records were not acknowledged in time")
        return dict(self._offsets)

    def close(self) -> None:
        """Free the producer."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _hand_over(self, record: OutgoingRecord) -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    -1 if record.partition is None else record.partition,
                    on_delivery=self._note,
                    headers=list(record.headers),
                )
            except BufferError:
                self._producer.poll(0.1)  # the queue empties at the delivery time-out at the latest
            except KafkaException as error:
                raise broker_error(self._brokers, f"writing to {record.topic}", error) from error
            else:
                return

    def _note(self, error: KafkaError | None, message: Message) -> None:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if error is not None:
            self._refused.append((str(topic), error))
        elif topic is not None and partition is not None and offset is not None:
            self._offsets[topic, partition] = offset
