"""The outbox on Kafka: everything that a batch leaves behind, in one transaction."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NoReturn

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from pipeline.errors import BrokerError, TransactionAborted
from pipeline.records import OutgoingRecord
from pipeline.streams.client import FENCED_CODES, Connection, Notices, broker_error

RETRY_BACKOFF_MS: Final = 5
"""A transaction right after another waits this long for the coordinator to finish the last one; 100 by default."""
TRANSACTION_SECONDS: Final = 10.0
DEADLINE_SECONDS: Final = 15.0
ANSWER_MS: Final = 2000
"""How long a broker may leave a request unanswered before it is asked for anew.

Those of a transaction go one after another, to its coordinator, the group's and the leaders. If they stand still on one
broker, each waits for so long, and all together have to end within the transaction's time-out.
"""
COORDINATOR_MS: Final = 1000
"""For how long the group's coordinator is believed to be what it was, without a word from it.

librdkafka drops a broker that is missing in the metadata, as one is that stands still once its session is over (3 s on
a local Kafka of three, 9 s by default). If it is still kept as the coordinator by then, the call that sends offsets
waits for ever, whatever its time-out (its issues 5511 and 5456, in 2.16). What is kept without a use is as old as the
metadata may be. A call that is made within that second may hang all the same, which its caller has to notice.
"""
METADATA_MS: Final = 300
"""How often metadata is asked for: leaders would be unknown if it were ever older than it may be."""


class KafkaOutbox:
    """Implements `pipeline.ports.Outbox`.

    Making one fences the predecessor of the same `transactional_id` and ends its open transaction; that raises
    BrokerError if it takes longer than `deadline`.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        topic: str,
        transactional_id: str,
        transaction_timeout: float = TRANSACTION_SECONDS,
        deadline: float = DEADLINE_SECONDS,
        open_producer: Callable[..., Any] = Producer,
    ) -> None:
        """`topic` is the one whose offsets are committed; times in seconds.

        `deadline` is what a commit may take, an abort, and the take-over.
        """
        self._brokers = connection.brokers
        self._topic = topic
        self._deadline = deadline
        self._timeout = transaction_timeout
        self._began = time.monotonic()
        self._notices = Notices()
        self._open = False
        self._over = False
        self._refused: list[KafkaError] = []
        timeout_ms = int(transaction_timeout * 1000)
        self._producer = connection.open(
            open_producer,
            self._notices,
            {
                "transactional.id": transactional_id,
                "transaction.timeout.ms": timeout_ms,
                "delivery.timeout.ms": timeout_ms,
                "socket.timeout.ms": min(ANSWER_MS, timeout_ms // 4),
                "metadata.max.age.ms": COORDINATOR_MS,
                "topic.metadata.refresh.interval.ms": METADATA_MS,
                "retry.backoff.ms": RETRY_BACKOFF_MS,
                "linger.ms": 1,
                "compression.type": "none",
            },
        )
        try:
            self._insist(self._producer.init_transactions, self._began + deadline)
        except KafkaException as error:
            raise self._ending("taking over the transactional id", error) from error

    def commit(self, records: Sequence[OutgoingRecord], offsets: Mapping[int, int], membership: Any) -> None:
        """See the port. After a BrokerError the transaction may have been committed or not: the offsets say which."""
        self._refused.clear()
        positions = [TopicPartition(self._topic, partition, offset) for partition, offset in sorted(offsets.items())]
        try:
            self._producer.begin_transaction()
            self._open = True
            self._began = time.monotonic()
            until = self._began + self._deadline
            for record in records:
                self._produce(record)
            if positions:
                self._insist(partial(self._send_offsets, positions, membership), until)
            self._insist(self._producer.commit_transaction, until)
        except KafkaException as error:
            self._roll_back(error)
        self._open = False
        self._producer.poll(0)

    def close(self) -> None:
        """Abort what is open and free the producer; a transaction that a dead broker holds ends by its time-out."""
        if self._over:
            return
        self._over = True
        if self._open:
            self._abort()
        self._producer.poll(0)

    def _produce(self, record: OutgoingRecord) -> None:
        self._producer.produce(
            record.topic,
            record.value,
            record.key,
            -1 if record.partition is None else record.partition,
            on_delivery=self._note_delivery,
            headers=list(record.headers),
        )

    def _note_delivery(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._refused.append(error)

    def _send_offsets(self, positions: list[TopicPartition], membership: Any, timeout: float) -> None:
        self._producer.send_offsets_to_transaction(positions, membership, timeout)

    def _insist(self, call: Callable[[float], None], until: float) -> None:
        """Make `call`, and again while its error may pass, until then by the monotonic clock."""
        while True:
            try:
                call(max(0.1, until - time.monotonic()))
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() >= until:
                    raise
            else:
                return

    def _roll_back(self, error: KafkaException) -> NoReturn:
        """Abort the open transaction and raise what its failure means."""
        if not error.args[0].txn_requires_abort():
            raise self._ending("a transaction", error) from error
        self._abort()
        told = self._refused[0] if self._refused else error.args[0]
        raise TransactionAborted(
            f"Kafka at {self._brokers}: a transaction was rolled back: {' '.join(told.str().split())}"
        ) from error

    def _abort(self) -> None:
        try:
            self._insist(self._producer.abort_transaction, time.monotonic() + self._deadline)
        except KafkaException as error:
            raise self._ending("abort of a transaction", error) from error
        self._open = False

    def _ending(self, doing: str, error: KafkaException) -> Exception:
        """An error after which this producer can't go on."""
        reason: KafkaError = error.args[0]
        if reason.fatal() or reason.code() in FENCED_CODES:
            self._over = True
        open_for = time.monotonic() - self._began
        if self._open and reason.code() in FENCED_CODES and open_for >= self._timeout:
            # Kafka fences the producer of a transaction that it timed out, which takes no rival but a standstill
            return BrokerError(
                f"Kafka at {self._brokers}: {doing} failed: it was open for {open_for:.0f} s, and Kafka ends it after "
                f"{self._timeout:g} s ({reason.name()})"
            )
        return broker_error(self._brokers, doing, error, self._notices.cause() if reason.retriable() else "")
