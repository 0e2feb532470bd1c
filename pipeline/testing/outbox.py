"""An outbox on the broker in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.records import OutgoingRecord
from pipeline.testing.broker import MemoryBroker


class FakeOutbox:
    """Implements `pipeline.ports.Outbox`."""

    def __init__(self, broker: MemoryBroker, *, topic: str, transactional_id: str) -> None:
        self._broker = broker
        self._topic = topic
        self._id = transactional_id
        self._epoch = broker.take_over(transactional_id)

    def begin(self, records: Sequence[OutgoingRecord]) -> None:
        """Leave a transaction open, as a worker that is killed before its commit does."""
        self._broker.begin(self._id, self._epoch, records)

    def commit(self, records: Sequence[OutgoingRecord], offsets: Mapping[int, int], membership: Any) -> None:
        """See the port."""
        self._broker.begin(self._id, self._epoch, records)
        self._broker.commit(self._id, self._epoch, self._topic, offsets, membership)

    def close(self) -> None:
        """See the port."""
        self._broker.abort(self._id, self._epoch)
