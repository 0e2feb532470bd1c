"""Where the log of a topic ends, including what transactions that are still open have written."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import IsolationLevel, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # missing in its stubs only

from pipeline.errors import BrokerError
from pipeline.streams.client import DENIED_CODES, PASSING_CODES, Connection, Notices, broker_error
from pipeline.streams.witnesses import ANSWER_SECONDS, Witnesses, admin_client

ASK_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.05
CONFIRM_SECONDS: Final = 15.0
"""In which brokers that disagree on who leads have to have heard of the latest election."""
NS_PER_MS: Final = 1_000_000


class LogEnds:
    """Asks the broker about the offsets of one topic; every answer counts records of open transactions too.

    A consumer of committed records is answered with the last stable offset instead, and would not see what a dying
    worker has just written.
    """

    def __init__(self, connection: Connection, topic: str) -> None:
        self._connection = connection
        self._brokers = connection.brokers
        self._topic = topic
        self._notices = Notices()
        self._admin = admin_client(connection, self._notices)

    def partitions(self) -> Sequence[int]:
        """The topic's partitions; raises BrokerError if there is no such topic."""
        return sorted(self._led(self._metadata()))

    def description(self) -> Any:
        """The future of the topic's description, which has the id that it was given when it was made."""
        names = TopicCollection([self._topic])
        return self._admin.describe_topics(names, request_timeout=ASK_SECONDS)[self._topic]

    def _metadata(self) -> Any:
        """Which brokers and leaders there are; a broker that does not answer is left for another."""
        until = time.monotonic() + ASK_SECONDS
        while True:
            try:
                return self._admin.list_topics(self._topic, timeout=ANSWER_SECONDS)
            except KafkaException as error:
                if error.args[0].code() not in PASSING_CODES or time.monotonic() >= until:
                    raise broker_error(self._brokers, "connection", error, self._cause()) from error
                time.sleep(RETRY_SECONDS)
                # the client would ask the same one again, since its connection stands
                self._admin = admin_client(self._connection, self._notices)

    def _led(self, metadata: Any) -> Mapping[int, int]:
        """The leader of each partition, by its id, as a broker has it; raises BrokerError without such a topic."""
        found = metadata.topics[self._topic]
        if found.error is not None and found.error.code() in DENIED_CODES:
            raise broker_error(self._brokers, f"asking for {self._topic}", found.error)
        if found.error is not None or not found.partitions:
            raise BrokerError(
                f"Kafka at {self._brokers} has no topic {self._topic}; create it with `lamppost topics create`"
            )
        return {number: each.leader for number, each in found.partitions.items()}

    def now(self, partitions: Iterable[int]) -> dict[int, int]:
        """The offset after the last record of each partition."""
        return self._ask(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]  # untyped in the client

    def confirmed_since(self, partitions: Iterable[int], time_ns: int) -> dict[int, tuple[int, int]]:
        """As `since` and `now`, of leaders that another broker names, too; raises BrokerError if none does for long.

        A broker that stood still goes on as the leader that it was until it hears of its successor, and answers without
        what was committed meanwhile. Nobody can see that from its answer, but any other broker knows better.
        """
        numbers = tuple(partitions)
        witnesses = Witnesses(self._connection, self._topic)
        until = time.monotonic() + CONFIRM_SECONDS
        while numbers:
            metadata = self._metadata()
            before = self._led(metadata)
            # in this order nothing below the ends is overlooked
            ends = self.now(numbers)
            firsts = self.since(numbers, time_ns)
            after = self._led(self._metadata())
            doubtful = {each for each in numbers if before.get(each) != after.get(each)}
            doubtful = doubtful or witnesses.doubt({each: after[each] for each in numbers}, metadata.brokers)
            if not doubtful:
                return {each: (first, ends[each]) for each, first in firsts.items()}
            if time.monotonic() >= until:
                silence, what = witnesses.silence, f"who leads partition {min(doubtful)} of {self._topic}"
                why = f"no other broker says {what} ({silence})" if silence else f"brokers disagree on {what}"
                raise BrokerError(f"Kafka at {self._brokers}: after {CONFIRM_SECONDS:.0f} s {why}")
            time.sleep(RETRY_SECONDS)
        return {}

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
