"""Reading a run's receipts back from Kafka while others use the same topics."""

from collections.abc import Callable, Iterator

import pytest

from pipeline.catalog.outcomes import Outcome
from pipeline.catalog.topics import FRAMES
from pipeline.records import OutcomeRange, OutgoingRecord, Receipt
from pipeline.runtime.settings import Kafka, Settings
from pipeline.runtime.taps import CustodyAudit
from pipeline.runtime.topics import create
from pipeline.streams.client import Connection
from pipeline.streams.writer import RecordWriter
from pipeline.wire import receipts as receipt_wire

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]


class Street:
    """A run of one partition whose frames and receipts a test writes itself."""

    def __init__(self, kafka: Connection, run: str) -> None:
        create(Settings(kafka=Kafka(brokers=kafka.brokers)))
        self._writer = RecordWriter(kafka)
        self._run = run
        self._batch = 0
        self.audit = CustodyAudit(kafka, run)
        self.start = self.audit.frame_starts[0]

    def send(self, frames: int) -> None:
        """Append records to the partition, of whatever camera."""
        self._writer.write([OutgoingRecord(FRAMES, b"camera", b"frame", (), 0)] * frames)

    def settle(self, first: int, end: int, run: str | None = None) -> None:
        """Publish the receipt of a batch, offsets counted from the run's first."""
        span = OutcomeRange(0, self.start + first, self.start + end, Outcome.PROCESSED)
        self._batch += 1
        receipt = Receipt(
            run=run or self._run, slot=0, batch=self._batch, decided_ns=1, ranges=(span,), alerts=0,
            watchlist_version_lowest=1, watchlist_version_greatest=1, fraction_searched=1.0,
        )  # fmt: skip
        self._writer.write([receipt_wire.encode(receipt)])

    def close(self) -> None:
        """Free what it holds."""
        self.audit.close()
        self._writer.close()


@pytest.fixture
def street(kafka: Connection, prefix: str) -> Iterator[Street]:
    """A run that begins now."""
    made = Street(kafka, prefix.rstrip("-"))
    yield made
    made.close()


def test_frames_are_missing_until_their_receipts_are_there(street: Street, eventually: Eventually) -> None:
    """Those of another run account for nothing of this one."""
    street.send(10)
    assert street.audit.missing() == 10
    street.settle(0, 6)
    street.settle(6, 10, run="another")
    eventually(lambda: street.audit.missing() == 4, "the receipt")
    street.settle(6, 10)
    eventually(lambda: street.audit.missing() == 0, "the other receipt")
    assert street.audit.findings().problems == []


def test_cameras_of_somebody_else_that_go_on_make_no_gap(street: Street, eventually: Eventually) -> None:
    """What comes after the run's own cameras have ended may be accounted for or not."""
    street.send(10)
    street.settle(0, 10)
    eventually(lambda: street.audit.missing() == 0, "the receipt")
    street.send(100)
    assert street.audit.missing() == 0
    assert street.audit.findings().problems == []
    street.settle(10, 60)
    findings = street.audit.findings()
    assert (findings.problems, findings.consumed) == ([], 60)


def test_a_frame_of_its_own_time_that_is_missing_is_a_gap_all_the_same(street: Street) -> None:
    """However much of others was consumed after it."""
    street.send(10)
    street.settle(0, 4)
    street.settle(5, 10)
    street.audit.missing()
    street.send(100)
    street.settle(10, 110)
    (problem,) = street.audit.findings().problems
    assert problem == f"partition 0: offset {street.start + 4} without an outcome"


def test_an_outcome_for_a_frame_that_was_never_there_is_a_stray(street: Street) -> None:
    """A worker that makes up offsets must not pass."""
    street.send(10)
    street.settle(0, 12)
    (problem,) = street.audit.findings().problems
    assert "with an outcome but not consumed" in problem
