"""The alerts already made, on the broker in memory."""

from collections.abc import Callable, Sequence

from pipeline.errors import BrokerError, InputError
from pipeline.records import ConsumedRecord
from pipeline.testing.broker import MemoryBroker, State


class FakeAlertHistory:
    """Implements `pipeline.ports.AlertHistory`."""

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        topic: str,
        decode: Callable[[ConsumedRecord], tuple[str, str, int]],
        open_transaction_seconds: float = 1.0,
    ) -> None:
        """`open_transaction_seconds` bounds the wait for transactions that are open at the call."""
        self._broker = broker
        self._topic = topic
        self._decode = decode
        self._wait = open_transaction_seconds
        self.malformed = 0
        """Records that were no alert, counted whenever they are read."""

    def recent(self, partitions: Sequence[int], since_ns: int) -> Sequence[tuple[str, str, int]]:
        """See the port; raises BrokerError if a transaction stays open."""
        with self._broker.changed:
            logs = [self._broker.log(self._topic, number) for number in partitions]
            found = [entry for log in logs for entry in log.entries if entry.record.append_ns >= since_ns]
            ended = self._broker.changed.wait_for(lambda: all(e.state is not State.OPEN for e in found), self._wait)
            if not ended:
                raise BrokerError(f"memory broker: a transaction on {self._topic} stays open")
            alerts = [self._alert(entry.record) for entry in found if entry.state is State.COMMITTED]
        return [alert for alert in alerts if alert is not None]

    def _alert(self, record: ConsumedRecord) -> tuple[str, str, int] | None:
        try:
            return self._decode(record)
        except InputError:
            self.malformed += 1
            return None
