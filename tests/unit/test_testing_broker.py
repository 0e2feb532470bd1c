"""The broker in memory: what a test can make it do beyond the ports."""

import pytest

from pipeline.errors import BrokerError, CustodyError, TransactionAborted
from pipeline.records import OutgoingRecord
from pipeline.testing.broker import MemoryBroker
from pipeline.testing.frame_source import FakeFrameSource
from pipeline.testing.outbox import FakeOutbox


def source(broker: MemoryBroker, **options: object) -> FakeFrameSource:
    """A member of the one group."""
    return FakeFrameSource(
        broker,
        topic="frames",
        group="g",
        assigned=lambda _: None,
        revoked=lambda _: None,
        lost=options.pop("lost", lambda _: None),  # type: ignore[arg-type]  # a callback, if a test gives one
        **options,  # type: ignore[arg-type]  # the remaining keyword arguments of a test
    )


def test_a_record_dropped_in_the_source_breaks_custody() -> None:
    """The gap is met with the next record of the partition, and is not below the log start."""
    broker = MemoryBroker({"frames": 1})
    for _ in range(3):
        broker.append("frames", 0, b"x")
    member = source(broker, drops=[(0, 1)])
    assert member.poll(0) is None
    with pytest.raises(CustodyError, match="partition 0: offsets 1 to 1"):
        member.poll(0)


def test_a_commit_fails_as_often_as_the_test_wished() -> None:
    """Nothing of it is seen, and the next one counts."""
    broker = MemoryBroker({"frames": 1, "alerts": 1})
    broker.append("frames", 0, b"x")
    member, outbox = source(broker), FakeOutbox(broker, topic="frames", transactional_id="w")
    member.poll(0)
    batch = member.poll(0)
    assert batch is not None
    broker.abort_next()
    with pytest.raises(TransactionAborted):
        outbox.commit([OutgoingRecord("alerts", b"c", b"a")], {0: 1}, batch.membership)
    assert member.rewind() == {0: 0}
    outbox.commit([OutgoingRecord("alerts", b"c", b"b")], {0: 1}, batch.membership)
    assert [record.value for record in broker.committed_records("alerts")] == [b"b"]


def test_a_member_taken_for_dead_loses_its_partitions_and_joins_anew() -> None:
    """Its commits are refused from then on."""
    broker = MemoryBroker({"frames": 2})
    broker.append("frames", 0, b"x")
    lost: list[list[int]] = []
    member, outbox = (
        source(broker, lost=lambda gone: lost.append(list(gone))),
        FakeOutbox(broker, topic="frames", transactional_id="w"),
    )
    member.poll(0)
    batch = member.poll(0)
    assert batch is not None
    broker.group("g", "frames").leave(member.member)
    with pytest.raises(TransactionAborted):
        outbox.commit([], {0: 1}, batch.membership)
    member.poll(0)
    assert lost == [[0, 1]]
    again = member.poll(0)
    assert again is not None
    outbox.commit([], {0: 1}, again.membership)


def test_partitions_are_shared_out_evenly() -> None:
    """Whatever the number of members, and with few moves."""
    broker = MemoryBroker({"frames": 4})
    members = [source(broker)]
    members[0].poll(0)
    for count in (2, 3, 4, 5):
        members.append(source(broker))
        for _ in range(3):
            for member in members:
                member.poll(0)
        shares = sorted(len(member.rewind()) for member in members)
        assert sum(shares) == 4
        assert shares[-1] - shares[0] <= 1, f"{count} members"


def test_an_unknown_topic_is_an_error() -> None:
    """As it is with Kafka that makes no topics by itself."""
    with pytest.raises(BrokerError, match="no partition 0 of topic nothing"):
        MemoryBroker({}).append("nothing", 0, b"x")
