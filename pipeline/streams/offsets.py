"""Where the log of a topic ends, including what transactions that are still open have written."""

import time
from collections.abc import Iterable, Sequence
from typing import Final

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # missing in its stubs only

from pipeline.errors import BrokerError
from pipeline.streams.client import DENIED_CODES, PASSING_CODES, Connection, Notices, broker_error

ASK_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.05
NS_PER_MS: Final = 1_000_000


class LogEnds:
    """Asks the broker about the offsets of one topic; every answer counts records of open transactions too.

    A consumer of committed records is answered with the last stable offset instead, and would not see what a dying
    worker has just written.
    """

    def __init__(self, connection: Connection, topic: str) -> None:
        self._brokers = connection.brokers
        self._topic = topic
        self._notices = Notices()
        # a broker with auto.create.topics.enable would make a topic that is asked for, with settings that never delete
        self._admin = connection.open(AdminClient, self._notices, {"allow.auto.create.topics": False})

    def partitions(self) -> Sequence[int]:
        """The topic's partitions; raises BrokerError if there is no such topic."""
        try:
            found = self._admin.list_topics(self._topic, timeout=ASK_SECONDS).topics[self._topic]
        except KafkaException as error:
            raise broker_error(self._brokers, "connection", error, self._cause()) from error
        if found.error is not None and found.error.code() in DENIED_CODES:
            raise broker_error(self._brokers, f"asking for {self._topic}", found.error)
        if found.error is not None or not found.partitions:
            raise BrokerError(
                f"Kafka at {self._brokers} has no topic {self._topic}; create it with `lamppost topics create`"
            )
        return sorted(found.partitions)

    def now(self, partitions: Iterable[int]) -> dict[int, int]:
        """The offset after the last record of each partition."""
        return self._ask(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]  # untyped in the client

    def starts(self, partitions: Iterable[int]) -> dict[int, int]:
        """The log start offset of each partition: what lies below is deleted."""
        return self._ask(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # untyped in the client

    def since(self, partitions: Iterable[int], time_ns: int) -> dict[int, int]:
        """The first offset of each partition whose record is not older; partitions without such a record are absent."""
        found = self._ask(partitions, OffsetSpec.for_timestamp(max(0, time_ns // NS_PER_MS)))
        return {partition: offset for partition, offset in found.items() if offset >= 0}

    def _ask(self, partitions: Iterable[int], spec: OffsetSpec) -> dict[int, int]:
        request = {TopicPartition(self._topic, number): spec for number in partitions}
        if not request:
            return {}
        until = time.monotonic() + ASK_SECONDS
        while True:
            answers = self._admin.list_offsets(
                request, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=ASK_SECONDS
            )
            try:
                return {asked.partition: answer.result().offset for asked, answer in answers.items()}
            except KafkaException as error:
                # a partition that is new or moves has no leader for a moment
                if error.args[0].code() in PASSING_CODES and time.monotonic() < until:
                    self._admin.poll(RETRY_SECONDS)
                    # the client would ask the leader that it knows for ever, though another leads since
                    self.partitions()
                    continue
                raise broker_error(self._brokers, f"reading offsets of {self._topic}", error, self._cause()) from error

    def _cause(self) -> str:
        self._admin.poll(0)
        return self._notices.cause()
