"""What a command reads back from Kafka, beside records of others."""

from collections.abc import Iterator, Mapping, Sequence

import pytest

from pipeline.catalog.outcomes import Outcome
from pipeline.records import ConsumedRecord, OutcomeRange, OutgoingRecord, Receipt
from pipeline.runtime import taps
from pipeline.runtime.taps import CustodyAudit
from pipeline.streams.client import Connection
from pipeline.wire import receipts


class FakeEnds:
    """Ends of a topic of one partition, at first at offset 5, and then at 9."""

    def __init__(self, *_: object) -> None:
        self._ends = iter((5, 9, 9))

    def partitions(self) -> Sequence[int]:
        """The only one."""
        return [0]

    def now(self, _: object) -> Mapping[int, int]:
        """Where it ends."""
        return {0: next(self._ends)}


class FakeReader:
    """Reads what lies on ``custody``."""

    records: Sequence[OutgoingRecord] = ()

    def __init__(self, *_: object, **__: object) -> None:
        self._left = iter(self.records)

    def poll(self, _: float) -> Iterator[ConsumedRecord]:
        """All that was not read yet."""
        for offset, each in enumerate(self._left):
            yield ConsumedRecord(0, offset, 0, each.key, each.value, tuple(each.headers))

    def read_to(self, _: Mapping[int, int], __: float) -> Iterator[ConsumedRecord]:
        """The same."""
        return self.poll(0.0)

    def ends(self) -> Mapping[int, int]:
        """Asked for, and used by nobody."""
        return {}


def receipt(first: int, end: int) -> OutgoingRecord:
    """One of the run, for offsets of ``frames``."""
    return receipts.encode(
        Receipt(
            run="r",
            slot=0,
            batch=first,
            decided_ns=0,
            ranges=(OutcomeRange(0, first, end, Outcome.PROCESSED),),
            alerts=1,
            watchlist_version_lowest=0,
            watchlist_version_greatest=0,
            fraction_searched=1.0,
        )
    )


def test_a_receipt_of_another_version_is_none_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends no run in its middle, and what it says covers nothing."""
    others = OutgoingRecord("custody", b"r/0", receipt(6, 9).value, (("schema-version", b"2"),))
    noise = OutgoingRecord("custody", None, b"\xff", (("schema-version", b"1"),))
    monkeypatch.setattr(taps, "LogEnds", FakeEnds)
    monkeypatch.setattr(taps, "TopicReader", FakeReader)
    monkeypatch.setattr(FakeReader, "records", [receipt(5, 6), others, noise, receipt(6, 8)])
    audit = CustodyAudit(Connection("nowhere:9092"), "r")
    assert audit.missing() == 1
    found = audit.findings()
    assert (found.consumed, found.alerts, found.counts[Outcome.PROCESSED]) == (3, 2, 3)
    assert len(found.problems) == 1
