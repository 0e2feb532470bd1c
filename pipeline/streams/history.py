"""The alerts already made, read back from Kafka."""

from collections.abc import Callable, Sequence
from typing import Final

from pipeline.records import ConsumedRecord
from pipeline.streams.client import Connection
from pipeline.streams.offsets import LogEnds
from pipeline.streams.reader import TopicReader

OPEN_TRANSACTION_SECONDS: Final = 15.0
"""A transaction ends by its time-out after 10 s at most; the coordinator looks for those every 10 s at worst."""

DecodeAlert = Callable[[ConsumedRecord], tuple[str, str, int]]
"""A record of ``alerts`` to (camera, entry, cooldown_ns)."""


class KafkaAlertHistory:
    """Implements `pipeline.ports.AlertHistory`."""

    def __init__(
        self,
        connection: Connection,
        *,
        topic: str,
        decode: DecodeAlert,
        open_transaction_seconds: float = OPEN_TRANSACTION_SECONDS,
    ) -> None:
        """`open_transaction_seconds` bounds the wait for transactions that are open at the call."""
        self._connection = connection
        self._topic = topic
        self._decode = decode
        self._wait = open_transaction_seconds
        self._log_ends = LogEnds(connection, topic)

    def recent(self, partitions: Sequence[int], since_ns: int) -> Sequence[tuple[str, str, int]]:
        """See the port; raises BrokerError if a transaction stays open, InputError if a record is no alert."""
        ends = self._log_ends.now(partitions)
        starts = self._log_ends.since(partitions, since_ns)
        starts = {partition: start for partition, start in starts.items() if start < ends[partition]}
        if not starts:
            return []
        reader = TopicReader(self._connection, self._topic, start=starts, partitions=sorted(starts))
        try:
            wanted = {partition: ends[partition] for partition in starts}
            return [self._decode(record) for record in reader.read_to(wanted, self._wait)]
        finally:
            reader.close()
