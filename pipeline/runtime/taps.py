"""What a command reads back from Kafka: the alerts as they come, and the receipts at the end."""

import threading
import time
from collections.abc import Iterable, Mapping

import msgspec

from pipeline.catalog.outcomes import Outcome
from pipeline.catalog.topics import ALERTS, CUSTODY, FRAMES
from pipeline.core.custody import Audit, Coverage
from pipeline.errors import InputError, LamppostError
from pipeline.records import Alert, ConsumedRecord
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

    def finish(self, within: float = READ_BACK_SECONDS) -> list[Alert]:
        """Read to the end of the topic as it is now, stop, and return all alerts.

        Raises BrokerError if that takes longer than `within` seconds.
        """
        self._ended.set()
        self._thread.join()
        try:
            for record in self._reader.read_to(self._reader.ends(), within):
                self._take(record)
        finally:
            self._reader.close()
        return self.alerts

    def _read(self) -> None:
        try:
            while not self._ended.is_set():
                for record in self._reader.poll(POLL_SECONDS):
                    self._take(record)
        except LamppostError as error:
            self._failure = error

    def _take(self, record: ConsumedRecord) -> None:
        try:
            alert = alert_wire.decode(record.key, record.value, record.headers)
        except InputError:
            return  # no alert of a run's own: those are held against the receipts' number
        if alert.run == self._run:
            self._first_read = self._first_read or time.time()
            self._alerts.append(alert)


class CustodyFindings(msgspec.Struct, frozen=True):
    """What the receipts of a run say of the offsets that were there to be read."""

    counts: Mapping[Outcome, int]
    consumed: int
    problems: list[str]
    """Gaps, overlaps and strays, a sentence each; empty if custody balances."""
    alerts: int = 0
    """How many alerts the receipts say were committed with them."""


class CustodyAudit:
    """Holds a run's receipts against the log of ``frames``; made before the first frame, closed in every case."""

    def __init__(self, connection: Connection, run: str) -> None:
        self._run = run
        self._frames = LogEnds(connection, FRAMES)
        self._frame_starts = self._frames.now(self._frames.partitions())
        self._frame_ends: Mapping[int, int] | None = None
        custody = LogEnds(connection, CUSTODY)
        self._receipts = TopicReader(connection, CUSTODY, start=custody.now(custody.partitions()))
        self._coverage = Coverage()
        self._alerts = 0

    @property
    def frame_starts(self) -> Mapping[int, int]:
        """Where each partition of ``frames`` ended when the audit was made; the run begins there."""
        return self._frame_starts

    def missing(self) -> int:
        """Offsets of ``frames`` that have no outcome by the receipts read so far, and takes in those that are there.

        The first call fixes the offsets that are asked about: everything that is there at that moment. Cameras of
        somebody else may go on after that, and a run that accounts for their frames too has not failed.
        """
        if self._frame_ends is None:
            self._frame_ends = self._frames.now(self._frame_starts)
        self._take(self._receipts.poll(0.0))
        gaps = self._coverage.audit(self._spans(self._frame_ends)).gaps
        return sum(gap.end - gap.first for gap in gaps)

    def findings(self, within: float = READ_BACK_SECONDS) -> CustodyFindings:
        """Read the run's receipts to their end and hold them against ``frames``.

        Every offset up to the ends that were fixed, or else those of now, must have an outcome, and no offset beyond
        the ends of now can have one. Raises BrokerError if reading takes longer than `within` seconds.
        """
        now = self._frames.now(self._frame_starts)
        self._take(self._receipts.read_to(self._receipts.ends(), within))
        complete = self._coverage.audit(self._spans(self._frame_ends or now))
        possible = self._coverage.audit(self._spans(now))
        audit = Audit(complete.gaps, possible.overlaps, possible.strays)
        return CustodyFindings(self._coverage.counts, self._coverage.consumed, audit.problems(), self._alerts)

    def close(self) -> None:
        """Free the reader."""
        self._receipts.close()

    def _take(self, records: Iterable[ConsumedRecord]) -> None:
        for record in records:
            try:
                receipt = receipt_wire.decode(record.key, record.value, record.headers)
            except InputError:
                continue  # no receipt of a run's own: what one of those does not say is a gap
            if receipt.run == self._run:
                self._coverage.add(receipt.ranges)
                self._alerts += receipt.alerts

    def _spans(self, ends: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        return {partition: (start, ends[partition]) for partition, start in self._frame_starts.items()}
