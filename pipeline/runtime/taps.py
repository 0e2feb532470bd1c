"""What a command reads back from Kafka: the alerts as they come, and the receipts at the end."""

import threading
import time
from collections.abc import Mapping

import msgspec

from pipeline.catalog.outcomes import Outcome
from pipeline.catalog.topics import ALERTS, CUSTODY, FRAMES
from pipeline.core.custody import Coverage
from pipeline.errors import LamppostError
from pipeline.records import Alert
from pipeline.streams.client import Connection
from pipeline.streams.offsets import LogEnds
from pipeline.streams.reader import TopicReader
from pipeline.wire import alerts as alert_wire
from pipeline.wire import receipts as receipt_wire

POLL_SECONDS = 0.2
READ_BACK_SECONDS = 30.0


class AlertTap:
    """Reads the alerts of one run from now on, in a thread of its own."""

    def __init__(self, connection: Connection, run: str) -> None:
        self._reader = TopicReader(connection, ALERTS, start="end")
        self._run = run
        self._alerts: list[Alert] = []
        self._first_read: float | None = None
        self._failure: LamppostError | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name="alerts", daemon=True)
        self._thread.start()

    @property
    def alerts(self) -> list[Alert]:
        """The alerts so far; raises what ended the reading, if something did."""
        if self._failure is not None:
            raise self._failure
        return list(self._alerts)

    @property
    def first_read(self) -> float | None:
        """Wall-clock time, in seconds, when the first alert was read."""
        return self._first_read

    def finish(self) -> list[Alert]:
        """Read to the end of the topic as it is now, stop, and return all alerts."""
        self._ended.set()
        self._thread.join()
        try:
            for record in self._reader.read_to(self._reader.ends(), READ_BACK_SECONDS):
                self._take(alert_wire.decode(record.key, record.value, record.headers))
        finally:
            self._reader.close()
        return self.alerts

    def _read(self) -> None:
        try:
            while not self._ended.is_set():
                for record in self._reader.poll(POLL_SECONDS):
                    self._take(alert_wire.decode(record.key, record.value, record.headers))
        except LamppostError as error:
            self._failure = error

    def _take(self, alert: Alert) -> None:
        if alert.run == self._run:
            self._first_read = self._first_read or time.time()
            self._alerts.append(alert)


class CustodyFindings(msgspec.Struct, frozen=True):
    """What the receipts of a run say of the offsets that were there to be read."""

    counts: Mapping[Outcome, int]
    consumed: int
    problems: list[str]
    """Gaps, overlaps and strays, a sentence each; empty if custody balances."""


class CustodyAudit:
    """Holds a run's receipts against the log of ``frames``; made before the first frame."""

    def __init__(self, connection: Connection, run: str) -> None:
        self._connection = connection
        self._run = run
        self._frames = LogEnds(connection, FRAMES)
        self._custody = LogEnds(connection, CUSTODY)
        self._frame_starts = self._frames.now(self._frames.partitions())
        self._receipt_starts = self._custody.now(self._custody.partitions())

    @property
    def frame_starts(self) -> Mapping[int, int]:
        """Where each partition of ``frames`` ended when the audit was made; the run begins there."""
        return self._frame_starts

    def findings(self) -> CustodyFindings:
        """Read every receipt of the run back, and compare them with the ends of the log as they are now."""
        ends = self._frames.now(self._frame_starts)
        coverage = Coverage()
        reader = TopicReader(self._connection, CUSTODY, start=self._receipt_starts)
        try:
            for record in reader.read_to(reader.ends(), READ_BACK_SECONDS):
                receipt = receipt_wire.decode(record.key, record.value, record.headers)
                if receipt.run == self._run:
                    coverage.add(receipt.ranges)
        finally:
            reader.close()
        spans = {partition: (start, ends[partition]) for partition, start in self._frame_starts.items()}
        return CustodyFindings(coverage.counts, coverage.consumed, coverage.audit(spans).problems())
