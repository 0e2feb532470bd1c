"""What holds for every frame source: positions, gaps, and partitions that come and go."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pipeline.records import Batch, OffsetRange

PollUntil = Callable[..., list[Batch]]

pytestmark = pytest.mark.parametrize(
    "world",
    [
        "memory",
        pytest.param("kafka consumer", marks=pytest.mark.integration),
        pytest.param("kafka classic", marks=pytest.mark.integration),
    ],
    indirect=True,
)
"""A group's members see the same of either of Kafka's group protocols."""


def values(batches: Sequence[Batch], partition: int | None = None) -> list[bytes | None]:
    """Values of the records in the order they were given, of one partition if it is named."""
    return [r.value for batch in batches for r in batch.records if partition in (None, r.partition)]


def count(batches: Sequence[Batch]) -> int:
    """Records in the batches."""
    return sum(len(batch.records) for batch in batches)


def test_every_record_comes_once_in_the_order_of_its_partition(world: Any, poll_until: PollUntil) -> None:
    """Offsets are contiguous from the log start, and each record carries what was published."""
    for number in range(6):
        world.append(number % 2, b"%d" % number)
    batches = poll_until(lambda got: count(got) >= 6, world.source())
    assert values(batches, 0) == [b"0", b"2", b"4"]
    assert values(batches, 1) == [b"1", b"3", b"5"]
    records = [record for batch in batches for record in batch.records]
    assert sorted((r.partition, r.offset) for r in records) == [(p, o) for p in (0, 1) for o in (0, 1, 2)]
    assert all(record.key == b"camera" and record.append_ns > 10**18 for record in records)


def test_a_batch_is_no_larger_than_its_limit(world: Any, poll_until: PollUntil) -> None:
    """What is left over comes with the next batch."""
    for number in range(5):
        world.append(0, b"%d" % number)
    batches = poll_until(lambda got: count(got) >= 5, world.source(batch_limit=2))
    assert max(len(batch.records) for batch in batches) == 2
    assert values(batches) == [b"%d" % number for number in range(5)]


def test_a_poll_gives_no_more_than_it_is_asked_for(world: Any, poll_until: PollUntil) -> None:
    """Less than a batch, where a part of one has to be filled up."""
    for number in range(8):
        world.append(number % 2, b"%d" % number)
    source = world.source(batch_limit=4)
    batches = poll_until(count, source)
    while count(batches) < 8:
        batch = source.poll(5.0, 1)
        assert batch is not None
        assert len(batch.records) == 1
        batches.append(batch)
    assert [values(batches, 0), values(batches, 1)] == [[b"0", b"2", b"4", b"6"], [b"1", b"3", b"5", b"7"]]


def test_the_owner_is_told_where_it_begins(world: Any, calls: Any, poll_until: PollUntil) -> None:
    """Without a committed offset that is the log's start, which need not be 0."""
    for number in range(3):
        world.append(0, b"%d" % number)
    world.delete_below(0, 2)
    source = world.source(calls)
    batches = poll_until(count, source)
    assert calls.seen == [("assigned", {0: 2, 1: 0})]
    assert (values(batches), [gap for batch in batches for gap in batch.expired]) == ([b"2"], [])


def test_a_rewind_gives_the_uncommitted_again(world: Any, calls: Any, poll_until: PollUntil) -> None:
    """It starts at the committed offset, and at the first start of a partition that has none."""
    for number in range(4):
        world.append(0, b"%d" % number)
        world.append(1, b"%d" % number)
    source, outbox = world.source(calls), world.outbox()
    first = poll_until(lambda got: count(got) >= 8, source)
    outbox.commit([], {0: 3}, first[-1].membership)
    assert source.rewind() == {0: 3, 1: 0}
    again = poll_until(lambda got: count(got) >= 5, source)
    assert (values(again, 0), values(again, 1)) == ([b"3"], [b"0", b"1", b"2", b"3"])
    assert min(batch.assignment for batch in again) > max(batch.assignment for batch in first)


def test_deleted_records_are_expired_and_not_skipped(world: Any, poll_until: PollUntil) -> None:
    """The gap is told exactly once, before what lies behind it."""
    for number in range(3):
        world.append(0, b"%d" % number)
    source, outbox = world.source(), world.outbox()
    first = poll_until(lambda got: count(got) >= 3, source)
    outbox.commit([], {0: 1}, first[-1].membership)
    for number in range(3, 6):
        world.append(0, b"%d" % number)
    world.delete_below(0, 5)
    source.rewind()
    batches = poll_until(count, source)
    assert [gap for batch in batches for gap in batch.expired] == [OffsetRange(0, 1, 5)]
    assert values(batches) == [b"5"]


def test_a_tail_that_expired_is_told_though_no_record_follows(world: Any, poll_until: PollUntil) -> None:
    """An idle partition whose records are all deleted still accounts for them."""
    world.append(0, b"0")
    source, outbox = world.source(), world.outbox()
    first = poll_until(count, source)
    outbox.commit([], {0: 0}, first[-1].membership)
    world.append(0, b"1")
    world.delete_below(0, 2)
    source.rewind()
    batches = poll_until(len, source)
    assert [gap for batch in batches for gap in batch.expired] == [OffsetRange(0, 0, 2)]
    assert count(batches) == 0
    outbox.commit([], {0: 2}, batches[-1].membership)
    assert source.rewind()[0] == 2


def test_what_is_polled_while_the_assignment_changes_is_nothing(
    world: Any, make_calls: Any, poll_until: PollUntil
) -> None:
    """So the batches of two polls in a row are of one assignment."""
    ours, theirs = make_calls(), make_calls()
    polled = [world.source(ours)]
    poll_until(lambda _: ours.owned == {0, 1}, *polled)
    polled.append(world.source(theirs))
    changes = 0
    deadline = time.monotonic() + 20.0
    while len(ours.owned) != 1 or len(theirs.owned) != 1:
        assert time.monotonic() < deadline
        for number in (0, 1):
            world.append(number, b"%d" % number)
        for source in polled:
            before = source.assignment
            batch = source.poll(0.05)
            changes += source.assignment != before
            assert batch is None or batch.assignment == source.assignment == before
    assert changes >= 2


def test_a_paused_source_gives_nothing_and_loses_nothing(world: Any, poll_until: PollUntil) -> None:
    """It stays a member of the group, and goes on where it was."""
    world.append(0, b"0")
    source = world.source()
    poll_until(count, source)
    source.pause()
    world.append(0, b"1")
    assert [source.poll(0.05) for _ in range(5)] == [None] * 5
    source.resume()
    assert values(poll_until(count, source)) == [b"1"]


@pytest.mark.parametrize("expired", [0, 2])
def test_what_was_fetched_before_a_pause_is_fetched_again_after_it(
    world: Any, poll_until: PollUntil, expired: int
) -> None:
    """Each record that is left by then comes once, and what retention took meanwhile is told."""
    for number in range(6):
        world.append(0, b"%d" % number)
    source = world.source(batch_limit=2)
    given = poll_until(lambda got: count(got) == 2, source)
    for _ in range(2):
        source.pause()
        assert [source.poll(0.05) for _ in range(3)] == [None] * 3
        world.delete_below(0, 2 + expired)
        source.resume()
    after = poll_until(lambda got: count(got) == 4 - expired, source)
    assert values(given + after) == [b"%d" % number for number in range(6) if not 2 <= number < 2 + expired]
    assert [gap for batch in after for gap in batch.expired] == [OffsetRange(0, 2, 2 + expired)] * bool(expired)


def test_a_source_paused_before_its_first_partition_gives_nothing(
    world: Any, calls: Any, poll_until: PollUntil
) -> None:
    """Partitions that come during a pause are paused too."""
    world.append(0, b"0")
    source = world.source(calls)
    source.pause()
    poll_until(lambda _: calls.owned == {0, 1}, source)
    assert [source.poll(0.05) for _ in range(5)] == [None] * 5
    source.resume()
    assert values(poll_until(count, source)) == [b"0"]


def test_lag_counts_what_is_not_read_yet(world: Any, poll_until: PollUntil) -> None:
    """It falls to zero when everything is read."""
    for number in range(5):
        world.append(0, b"%d" % number)
    source = world.source(batch_limit=2)
    poll_until(lambda got: count(got) == 2, source)
    assert source.lag()[0] == 3
    poll_until(lambda got: count(got) == 3, source)
    assert source.lag()[0] == 0


def test_a_second_member_takes_over_from_the_committed_offset(
    world: Any, make_calls: Any, poll_until: PollUntil
) -> None:
    """The first gives up before the second takes, batches in flight go stale, and no committed record comes again."""
    for number in range(4):
        for partition in (0, 1):
            world.append(partition, b"%d" % number)
    ours, theirs = make_calls(), make_calls()
    first, outbox = world.source(ours), world.outbox()
    before = poll_until(lambda got: count(got) >= 8, first)
    outbox.commit([], {0: 2, 1: 2}, before[-1].membership)
    second = world.source(theirs)
    after = poll_until(lambda got: count(got) >= 4 and len(theirs.owned) == 1, first, second)
    assert first.assignment > before[-1].assignment
    assert ours.owned | theirs.owned == {0, 1}
    assert not ours.owned & theirs.owned
    assert [call for call, _ in ours.seen] == ["assigned", "revoked"]
    assert theirs.seen == [("assigned", dict.fromkeys(theirs.owned, 2))]
    assert (values(after, 0), values(after, 1)) == ([b"2", b"3"], [b"2", b"3"])


def test_the_assignment_has_changed_before_revoked_is_called(
    world: Any, make_calls: Any, poll_until: PollUntil
) -> None:
    """So a commit that waits for the same lock as `revoked` finds its batch stale once it gets it."""
    world.append(0, b"0")
    ours, theirs = make_calls(), make_calls()
    source = world.source(ours)
    current = poll_until(count, source)[-1].assignment
    noted: list[int] = []
    ours.on_revoked = lambda: noted.append(source.assignment)
    second = world.source(theirs)
    poll_until(lambda _: theirs.owned, source, second)
    assert noted
    assert noted[0] > current


def test_a_member_that_leaves_gives_its_partitions_back(world: Any, make_calls: Any, poll_until: PollUntil) -> None:
    """Closing calls `revoked`, and the one that stays reads on."""
    ours, theirs = make_calls(), make_calls()
    first, second = world.source(ours), world.source(theirs)
    poll_until(lambda _: len(ours.owned) == 1 and len(theirs.owned) == 1, first, second)
    second.close()
    assert theirs.owned == set()
    poll_until(lambda _: ours.owned == {0, 1}, first)
    world.append(0, b"0")
    world.append(1, b"1")
    batches = poll_until(lambda got: count(got) >= 2, first)
    assert sorted(str(value) for value in values(batches)) == ["b'0'", "b'1'"]


def test_an_error_in_a_callback_reaches_the_caller(world: Any, calls: Any, poll_until: PollUntil) -> None:
    """A worker that cannot rebuild its state must not begin to read."""

    def fail() -> None:
        raise RuntimeError("no history")

    calls.on_assigned = fail
    source = world.source(calls)
    with pytest.raises(RuntimeError, match="no history"):
        poll_until(lambda _: False, source)
