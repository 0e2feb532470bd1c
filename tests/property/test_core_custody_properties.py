"""The interval arithmetic of custody agrees with plain sets of offsets."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog.outcomes import Outcome
from pipeline.core.custody import Coverage, check_batch, receipt_ranges
from pipeline.core.intervals import OffsetSet
from pipeline.errors import CustodyError
from pipeline.records import OffsetRange, OutcomeRange

partitions = st.integers(0, 2)
intervals = st.tuples(st.integers(0, 40), st.integers(1, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))
pieces = st.builds(
    lambda partition, interval, outcome: OutcomeRange(partition, interval[0], interval[1], outcome),
    partitions,
    intervals,
    st.sampled_from(Outcome),
)
spans = st.dictionaries(partitions, st.tuples(st.integers(0, 25), st.integers(0, 25)).map(lambda p: (p[0], sum(p))))


def offsets_of(ranges: tuple[OffsetRange, ...]) -> set[tuple[int, int]]:
    """(partition, offset) pairs in ranges; fails if two ranges share one."""
    listed = [(r.partition, offset) for r in ranges for offset in range(r.first, r.end)]
    assert len(listed) == len(set(listed))
    return set(listed)


@given(st.lists(intervals), intervals)
def test_offset_set_is_a_set(added: list[tuple[int, int]], window: tuple[int, int]) -> None:
    """Adding, counting and cutting intervals is what it is for plain sets, and the intervals never touch."""
    offsets, model = OffsetSet(), set[int]()
    for first, end in added:
        known = offsets.add(first, end)
        assert {o for a, b in known for o in range(a, b)} == model & set(range(first, end))
        model |= set(range(first, end))
    kept = list(offsets)
    assert all(before[1] < after[0] for before, after in pairwise(kept))
    assert len(offsets) == len(model)
    assert {o for a, b in kept for o in range(a, b)} == model
    assert {o for a, b in offsets.within(*window) for o in range(a, b)} == model & set(range(*window))
    assert {o for a, b in offsets.missing(*window) for o in range(a, b)} == set(range(*window)) - model


@given(st.lists(st.lists(pieces, max_size=4), max_size=12), spans)
def test_audit_agrees_with_plain_sets(receipts: list[list[OutcomeRange]], against: dict[int, tuple[int, int]]) -> None:
    """Gaps, overlaps, strays and counts are those of a multiset of (partition, offset)."""
    coverage, model, counts = Coverage(), Counter[tuple[int, int]](), Counter[Outcome]()
    for receipt in receipts:
        coverage.add(receipt)
        for piece in receipt:
            model.update((piece.partition, offset) for offset in range(piece.first, piece.end))
            counts[piece.outcome] += piece.end - piece.first
    expected = {(partition, offset) for partition, span in against.items() for offset in range(*span)}
    audit = coverage.audit(against)
    assert offsets_of(audit.gaps) == expected - set(model)
    assert offsets_of(audit.strays) == set(model) - expected
    assert offsets_of(audit.overlaps) == {where for where, times in model.items() if times > 1}
    assert coverage.balanced(against) == (model == Counter(expected)) == (not audit.problems())
    assert {outcome: n for outcome, n in coverage.counts.items() if n} == dict(counts)


@given(st.dictionaries(st.tuples(partitions, st.integers(0, 20)), st.sampled_from(Outcome)))
def test_receipt_keeps_every_outcome(outcomes: dict[tuple[int, int], Outcome]) -> None:
    """Spread out again, the ranges are the outcomes; no two neighbouring ranges could be one."""
    listed = [(partition, offset, outcome) for (partition, offset), outcome in outcomes.items()]
    ranges = receipt_ranges(listed)
    assert {(r.partition, offset): r.outcome for r in ranges for offset in range(r.first, r.end)} == outcomes
    assert not any((a.partition, a.end, a.outcome) == (b.partition, b.first, b.outcome) for a, b in pairwise(ranges))


@given(st.integers(0, 50), st.lists(st.sampled_from(Outcome), min_size=1, max_size=30), st.data())
def test_one_lost_or_doubled_frame_breaks_the_batch(first: int, outcomes: list[Outcome], data: st.DataObject) -> None:
    """Whichever frame is dropped or accounted for twice, the batch is refused."""
    listed = [(0, first + i, outcome) for i, outcome in enumerate(outcomes)]
    span = {0: (first, first + len(listed))}
    check_batch(span, receipt_ranges(listed))
    i = data.draw(st.integers(0, len(listed) - 1))
    for wrong in (listed[:i] + listed[i + 1 :], [*listed, listed[i]]):
        try:
            check_batch(span, receipt_ranges(wrong))
        except CustodyError:
            continue
        raise AssertionError(f"{wrong} passed")
