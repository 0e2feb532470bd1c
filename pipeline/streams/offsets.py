"""Where the log of a topic ends, including what transactions that are still open have written."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # missing in its stubs only

from pipeline.errors import BrokerError
from pipeline.streams.client import DENIED_CODES, PASSING_CODES, Connection, Notices, broker_error

ASK_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.05
SECOND_OPINION_SECONDS: Final = 2.0
"""What a broker may take to say who leads."""
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
        self._admin = _client(connection, self._notices)

    def partitions(self) -> Sequence[int]:
        """The topic's partitions; raises BrokerError if there is no such topic."""
        return sorted(self._led(self._metadata()))

    def _metadata(self) -> Any:
        try:
            return self._admin.list_topics(self._topic, timeout=ASK_SECONDS)
        except KafkaException as error:
            raise broker_error(self._brokers, "connection", error, self._cause()) from error

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

    def confirmed(self, partitions: Iterable[int]) -> dict[int, int]:
        """As `now`, of leaders that another broker names, too; raises BrokerError if none does for long.

        A broker that stood still goes on as the leader that it was until it hears of its successor, and answers without
        what was committed meanwhile. Nobody can see that from its answer, but any other broker knows better.
        """
        numbers = tuple(partitions)
        until = time.monotonic() + CONFIRM_SECONDS
        while numbers:
            metadata = self._metadata()
            leaders = self._led(metadata)
            ends = self.now(numbers)
            if not (doubtful := self._unconfirmed({each: leaders[each] for each in numbers}, metadata.brokers)):
                return ends
            if time.monotonic() >= until:
                raise BrokerError(
                    f"Kafka at {self._brokers}: brokers disagree for {CONFIRM_SECONDS:.0f} s on who leads partition "
                    f"{min(doubtful)} of {self._topic}"
                )
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

    def _unconfirmed(self, leaders: Mapping[int, int], brokers: Mapping[int, Any]) -> set[int]:
        """The partitions whose leader no other broker confirms; none on a Kafka of one."""
        doubtful = {number for number in leaders if len(brokers) > 1}
        for id_, broker in sorted(brokers.items()):
            asked = {number for number in doubtful if leaders[number] != id_}
            if not asked:
                continue
            # a new client knows of this broker alone, so that it is this one that answers
            client = _client(replace(self._connection, brokers=f"{broker.host}:{broker.port}"), Notices())
            try:
                told = self._led(client.list_topics(self._topic, timeout=SECOND_OPINION_SECONDS))
            except (KafkaException, BrokerError):
                continue  # it is away, or has not heard of the topic; others may have
            doubtful -= {number for number in asked if told.get(number) == leaders[number]}
        return doubtful

    def _cause(self) -> str:
        self._admin.poll(0)
        return self._notices.cause()


def _client(connection: Connection, notices: Notices) -> Any:
    # a broker with auto.create.topics.enable would make a topic that is asked for, with settings that never delete
    return connection.open(AdminClient, notices, {"allow.auto.create.topics": False})
