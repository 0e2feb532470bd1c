"""Every offset of ``frames`` ends in exactly one outcome: making receipts, and checking them.

A batch is checked before it is committed, against the span of offsets between the worker's positions before and after
it; a run is checked at its end, against the spans between the partitions' first and last offsets. Neither span is taken
from the outcomes themselves: counters that rise together always agree.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from pipeline.catalog.outcomes import CONSUMED, Outcome
from pipeline.core.intervals import OffsetSet
from pipeline.errors import CustodyError
from pipeline.records import OffsetRange, OutcomeRange

Spans = Mapping[int, tuple[int, int]]
"""Per partition the first offset (inclusive) and the end (exclusive) that must be accounted for."""


def receipt_ranges(
    outcomes: Iterable[tuple[int, int, Outcome]], expired: Sequence[OffsetRange] = ()
) -> tuple[OutcomeRange, ...]:
    """Outcomes (partition, offset, outcome) and expired gaps in any order as the ranges of a receipt.

    The ranges are sorted by partition and offset and as long as they can be. An offset that is given twice gives
    overlapping ranges, which check_batch refuses.
    """
    pieces = [OutcomeRange(partition, offset, offset + 1, outcome) for partition, offset, outcome in outcomes]
    pieces += [OutcomeRange(gap.partition, gap.first, gap.end, Outcome.EXPIRED) for gap in expired]
    pieces.sort(key=lambda piece: (piece.partition, piece.first))
    return tuple(_joined(pieces))


def _joined(pieces: Iterable[OutcomeRange]) -> Iterator[OutcomeRange]:
    last: OutcomeRange | None = None
    for piece in pieces:
        if last is None:
            last = piece
        elif (piece.partition, piece.first, piece.outcome) == (last.partition, last.end, last.outcome):
            last = OutcomeRange(last.partition, last.first, piece.end, last.outcome)
        else:
            yield last
            last = piece
    if last is not None:
        yield last


def check_batch(spans: Spans, ranges: Iterable[OutcomeRange]) -> None:
    """Raise CustodyError unless `ranges` cover `spans` exactly: no gap, no overlap, nothing outside.

    `spans` run from the position before the batch to the offset that is about to be committed, per partition.
    """
    coverage = Coverage()
    coverage.add(ranges)
    audit = coverage.audit(spans)
    if not audit.balanced:
        raise CustodyError("; ".join(audit.problems()))


class Audit(msgspec.Struct, frozen=True):
    """What a set of receipts leaves open when it is held against the offsets that were there."""

    gaps: tuple[OffsetRange, ...]
    """Offsets without an outcome."""
    overlaps: tuple[OffsetRange, ...]
    """Offsets with more than one outcome."""
    strays: tuple[OffsetRange, ...]
    """Offsets with an outcome that were not there to be read."""

    @property
    def balanced(self) -> bool:
        """Whether every offset ended in exactly one outcome."""
        return not (self.gaps or self.overlaps or self.strays)

    def problems(self) -> list[str]:
        """One line per gap, overlap and stray, with partition and offsets."""
        kinds = (
            (self.gaps, "without an outcome"),
            (self.overlaps, "with more than one outcome"),
            (self.strays, "with an outcome but not consumed"),
        )
        return [f"partition {r.partition}: {_offsets(r)} {what}" for ranges, what in kinds for r in ranges]


def _offsets(span: OffsetRange) -> str:
    if span.end == span.first + 1:
        return f"offset {span.first}"
    return f"offsets {span.first} to {span.end - 1}"


class Coverage:
    """The receipts of a run so far; they may come in any order.

    Holds intervals and not receipts: a run that is read without gaps costs a few intervals per partition.
    """

    def __init__(self) -> None:
        self._covered: dict[int, OffsetSet] = {}
        self._doubled: dict[int, OffsetSet] = {}
        self._counts: Counter[Outcome] = Counter()

    def add(self, ranges: Iterable[OutcomeRange]) -> None:
        """Take in the ranges of one receipt; raises CustodyError on a range that holds no offset."""
        for piece in ranges:
            if not 0 <= piece.first < piece.end:
                raise CustodyError(f"partition {piece.partition}: range {piece.first} to {piece.end} holds no offset")
            self._counts[piece.outcome] += piece.end - piece.first
            for first, end in self._covered.setdefault(piece.partition, OffsetSet()).add(piece.first, piece.end):
                self._doubled.setdefault(piece.partition, OffsetSet()).add(first, end)

    @property
    def counts(self) -> Mapping[Outcome, int]:
        """Offsets per outcome, zero for the outcomes that did not come up; doubled offsets count twice."""
        return {outcome: self._counts[outcome] for outcome in Outcome}

    @property
    def consumed(self) -> int:
        """Offsets that were read from Kafka: those of all outcomes but expired."""
        return sum(self._counts[outcome] for outcome in CONSUMED)

    @property
    def gaps(self) -> tuple[OffsetRange, ...]:
        """Offsets between the lowest and the highest receipt of a partition that have none themselves (yet)."""
        return tuple(
            OffsetRange(partition, before[1], after[0])
            for partition, offsets in sorted(self._covered.items())
            for before, after in pairwise(offsets)
        )

    @property
    def overlaps(self) -> tuple[OffsetRange, ...]:
        """Offsets that more than one receipt accounts for."""
        return _ranges(self._doubled)

    def audit(self, against: Spans) -> Audit:
        """Hold the receipts against the offsets that were there to be read, per partition."""
        gaps: list[OffsetRange] = []
        strays: list[OffsetRange] = []
        for partition in sorted({*against, *self._covered}):
            first, end = against.get(partition, (0, 0))
            covered = self._covered.get(partition, OffsetSet())
            gaps += (OffsetRange(partition, *gap) for gap in covered.missing(first, end))
            strays += (OffsetRange(partition, *stray) for stray in _outside(covered, first, end))
        return Audit(tuple(gaps), self.overlaps, tuple(strays))

    def balanced(self, against: Spans) -> bool:
        """Whether the receipts cover the spans in `against` with no gap, no overlap and nothing besides."""
        return self.audit(against).balanced


def _ranges(partitions: Mapping[int, OffsetSet]) -> tuple[OffsetRange, ...]:
    return tuple(OffsetRange(number, *span) for number, offsets in sorted(partitions.items()) for span in offsets)


def _outside(covered: OffsetSet, first: int, end: int) -> Iterator[tuple[int, int]]:
    for start, stop in covered:
        if start < first:
            yield start, min(stop, first)
        if stop > max(end, first):
            yield max(start, end, first), stop
