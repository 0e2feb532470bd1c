"""The alerts already made, read back from Kafka."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from pipeline.errors import InputError
from pipeline.records import ConsumedRecord
from pipeline.streams.client import Connection
from pipeline.streams.offsets import LogEnds
from pipeline.streams.outbox import TRANSACTION_SECONDS
from pipeline.streams.reader import TopicReader

_log = logging.getLogger(__name__)

CLEAN_UP_SECONDS: Final = 10.0
"""How often a coordinator looks for transactions whose time-out has passed, by default."""
OPEN_TRANSACTION_SECONDS: Final = TRANSACTION_SECONDS + CLEAN_UP_SECONDS + 5.0
"""The longest that a dead worker's transaction can stay open, and a while for its end to be written."""

DecodeAlert = Callable[[ConsumedRecord], tuple[str, str, int]]
"""A record of ``alerts`` to (camera, entry, cooldown_ns); raises InputError if it is no alert."""


class KafkaAlertHistory:
    """Implements `pipeline.ports.AlertHistory`.

    A record that is no alert started no cool-down: it is skipped and counted, and the first of each partition is
    logged. Whoever may write to the topic must not be able to stop a worker.
    """

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
        self._malformed = 0
        self._refused: dict[int, int] = {}

    @property
    def malformed(self) -> int:
        """Records that were no alert, each counted once however often it is read."""
        return self._malformed

    def recent(self, partitions: Sequence[int], since_ns: int) -> Sequence[tuple[str, str, int]]:
        """See the port; raises BrokerError if a transaction stays open."""
        spans = self._log_ends.confirmed_since(partitions, since_ns)
        starts = {partition: start for partition, (start, end) in spans.items() if start < end}
        if not starts:
            return []
        reader = TopicReader(self._connection, self._topic, start=starts, partitions=sorted(starts))
        try:
            wanted = {partition: spans[partition][1] for partition in starts}
            alerts = (self._alert(record) for record in reader.read_to(wanted, self._wait))
            return [alert for alert in alerts if alert is not None]
        finally:
            reader.close()

    def _alert(self, record: ConsumedRecord) -> tuple[str, str, int] | None:
        try:
            return self._decode(record)
        except InputError as error:
            latest = self._refused.get(record.partition)
            if latest is None:
                where = f"{self._topic}, partition {record.partition}, offset {record.offset}"
                _log.warning("%s: skipped, as further ones of this partition will be: %s", where, error)
            if latest is None or record.offset > latest:
                self._refused[record.partition] = record.offset
                self._malformed += 1
            return None
