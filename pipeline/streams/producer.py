"""Publishing frames: never waits, and counts what became of every frame."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline.catalog.topics import BATCH_BYTES, RECORD_BYTES
from pipeline.errors import BrokerError
from pipeline.streams.client import DENIED_CODES, REQUEST_MS, Connection, Notices, broker_error

QUEUE_KIB: Final = 64 * 1024
DELIVERY_SECONDS: Final = 12.0
"""Longer than a cluster of three takes to name another leader, and the client to hear of it."""

_GIVEN_UP: Final = frozenset({KafkaError._MSG_TIMED_OUT, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
"""How frames fail that no broker refused."""
_ADVICE: Final = {KafkaError.MSG_SIZE_TOO_LARGE: "; `lamppost topics check` says which limit the topic should have"}

Delivered = Callable[[bool], None]
"""Called once per frame with whether the broker has it, from `serve`, `send` or `flush`."""


class FrameProducer:
    """An idempotent producer for cameras; one thread uses it.

    A camera's clock does not wait: a frame that finds the queue full, or is not acknowledged within `delivery_timeout`
    seconds, has failed.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        topic: str,
        delivery_timeout: float = DELIVERY_SECONDS,
        queue_kib: int = QUEUE_KIB,
        open_producer: Callable[..., Any] = Producer,
    ) -> None:
        """`queue_kib` bounds the memory of frames that wait for the broker."""
        self._brokers = connection.brokers
        self._topic = topic
        self._notices = Notices()
        self._sent = 0
        self._failed = 0
        self._waiting = 0
        self._refusal = ""
        self._denied = False
        self._producer = connection.open(
            open_producer,
            self._notices,
            {
                "enable.idempotence": True,
                "compression.type": "none",  # a JPEG does not get smaller
                "linger.ms": 5,
                "batch.size": BATCH_BYTES,
                "message.max.bytes": RECORD_BYTES,
                "queue.buffering.max.kbytes": queue_kib,
                "delivery.timeout.ms": int(delivery_timeout * 1000),
                # what was sent to a leader that stands still is sent to the next one in time
                "socket.timeout.ms": min(REQUEST_MS, int(delivery_timeout * 500)),
                "socket.send.buffer.bytes": 1024 * 1024,
            },
        )

    @property
    def sent(self) -> int:
        """Frames that the broker has acknowledged."""
        return self._sent

    @property
    def failed(self) -> int:
        """Frames that were given up; the broker may still have one whose acknowledgement was lost."""
        return self._failed

    @property
    def waiting(self) -> int:
        """Frames handed over whose end is not known yet."""
        return self._waiting

    def send(
        self,
        partition: int,
        key: bytes,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
        on_delivery: Delivered | None = None,
    ) -> bool:
        """Hand one frame over without waiting; False if it failed at once, since the queue is full or it is too large.

        Raises BrokerError if the producer can't go on.
        """
        try:
            self._producer.produce(
                self._topic,
                value,
                key,
                partition,
                on_delivery=self._note if on_delivery is None else self._noting(on_delivery),
                headers=list(headers),
            )
        except BufferError:
            self._failed += 1
            return False
        except KafkaException as error:
            self._failed += 1
            if error.args[0].fatal():
                raise broker_error(self._brokers, f"publishing to {self._topic}", error) from error
            return False
        self._waiting += 1
        return True

    def serve(self, timeout: float = 0.0) -> None:
        """Count what was acknowledged meanwhile; call it often, at least once for every few frames.

        Waits up to `timeout` seconds for a first acknowledgement. Raises BrokerError if the producer can't go on.
        """
        self._waited(self._producer.poll, timeout)
        if self._notices.fatal is not None:
            raise broker_error(self._brokers, f"publishing to {self._topic}", self._notices.fatal)

    @property
    def unreachable_for(self) -> float:
        """Seconds since no broker could be reached, 0.0 while frames arrive."""
        return self._notices.down_for()

    @property
    def trouble(self) -> str:
        """Why frames do not arrive, as far as the client knows; empty if they do."""
        if self._notices.down_since is not None:
            return f"Kafka at {self._brokers}: {self._notices.cause()}"
        return self._refusal

    def require_allowed(self) -> None:
        """Raise BrokerError if ACLs refuse the frames and none was ever acknowledged: none will be."""
        if self._denied and not self._sent:
            raise BrokerError(self._refusal)

    def flush(self, deadline: float) -> int:
        """Wait up to `deadline` seconds for what is under way; returns how many frames still are."""
        self._waited(self._producer.flush, deadline)
        return self._waiting

    def close(self) -> None:
        """Give up what is under way, count it as failed, and free the producer."""
        self._producer.purge()
        self._waited(self._producer.flush, 1.0)

    def _waited(self, wait: Callable[[float], object], seconds: float) -> None:
        """Wait, and keep for `serve` what ends the producer: the client raises that here rather than report it."""
        try:
            wait(seconds)
        except KafkaException as error:
            if not error.args[0].fatal():
                raise
            self._notices.note(error.args[0])
            self._refused(error.args[0])

    def _note(self, error: KafkaError | None, _: Message) -> None:
        self._waiting -= 1
        if error is None:
            self._sent += 1
            self._refusal = ""
            self._notices.reached()
            return
        self._failed += 1
        if error.code() not in _GIVEN_UP:
            self._refused(error)

    def _refused(self, error: KafkaError) -> None:
        self._denied = error.code() in DENIED_CODES
        advice = _ADVICE.get(error.code(), "")
        self._refusal = f"{broker_error(self._brokers, f'publishing to {self._topic}', error)}{advice}"

    def _noting(self, on_delivery: Delivered) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            self._note(error, message)
            on_delivery(error is None)

        return note
