"""What a run has committed, as seen from outside: its receipts and alerts, read back from Kafka; one thread uses it."""

from collections.abc import Mapping
from typing import Final

from pipeline.catalog.topics import ALERTS, CUSTODY, FRAMES
from pipeline.core.custody import Audit, Coverage
from pipeline.records import Alert, Receipt
from pipeline.streams.client import Connection
from pipeline.streams.offsets import LogEnds
from pipeline.streams.reader import TopicReader
from pipeline.wire import alerts as alert_wire
from pipeline.wire import receipts as receipt_wire

READ_SECONDS: Final = 40.0
"""In which the end of the alerts has to be read: a transaction that a dead worker left open ends after 10 s or so."""


class Watch:
    """Reads `custody` and `alerts` of a Kafka that nobody else uses, from their beginning."""

    def __init__(self, connection: Connection) -> None:
        self._frames = LogEnds(connection, FRAMES)
        self._partitions = self._frames.partitions()
        self._custody = TopicReader(connection, CUSTODY)
        self._alerts = TopicReader(connection, ALERTS)
        self._coverage = Coverage()
        self.receipts: list[Receipt] = []
        """Since the latest `begin`."""
        self.alerts: list[Alert] = []
        """Since the latest `begin`."""

    def begin(self) -> None:
        """Forget the receipts and alerts of the round before; not what they cover, which is held against the log."""
        self.receipts, self.alerts = [], []

    def look(self) -> None:
        """Take in what is there; waits for nothing. Raises BrokerError if no broker was there for long."""
        for record in self._custody.poll(0.0):
            receipt = receipt_wire.decode(record.key, record.value, record.headers)
            self._coverage.add(receipt.ranges)
            self.receipts.append(receipt)
        self.alerts += [alert_wire.decode(r.key, r.value, r.headers) for r in self._alerts.poll(0.0)]

    def covers(self, offsets: Mapping[int, int]) -> bool:
        """Whether a receipt of this round accounts for each of these offsets, by partition."""
        pieces = [piece for receipt in self.receipts for piece in receipt.ranges]
        return all(
            any(piece.partition == partition and piece.first <= offset < piece.end for piece in pieces)
            for partition, offset in offsets.items()
        )

    def audit(self) -> Audit:
        """All receipts so far against everything that was ever published, as far as Kafka says."""
        ends = self._frames.now(self._partitions)
        return self._coverage.audit({partition: (0, end) for partition, end in ends.items()})

    def finish(self) -> None:
        """Read what is committed to its end; raises BrokerError if a transaction stays open there."""
        self.alerts += [
            alert_wire.decode(record.key, record.value, record.headers)
            for record in self._alerts.read_to(self._alerts.ends(), READ_SECONDS)
        ]
        for record in self._custody.read_to(self._custody.ends(), READ_SECONDS):
            receipt = receipt_wire.decode(record.key, record.value, record.headers)
            self._coverage.add(receipt.ranges)
            self.receipts.append(receipt)

    def close(self) -> None:
        """Free the readers."""
        self._custody.close()
        self._alerts.close()
