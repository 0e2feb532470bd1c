"""What only a real Kafka can show of the stream adapters, beyond the contract they share with the fakes."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from pipeline.catalog.topics import ALERTS, FRAMES, TOPICS, WATCHLIST, Topic
from pipeline.errors import BrokerError, CustodyError, TransactionAborted
from pipeline.records import Batch, OutgoingRecord
from pipeline.streams.client import LOGGER, Connection
from pipeline.streams.consumer import KafkaFrameSource
from pipeline.streams.outbox import KafkaOutbox
from pipeline.streams.probe import probe
from pipeline.streams.producer import FrameProducer
from pipeline.streams.reader import TopicReader
from pipeline.streams.topics import TopicAdmin
from pipeline.streams.writer import RecordWriter

pytestmark = pytest.mark.integration

PARTITIONS = 2


@pytest.fixture
def catalogue(prefix: str) -> dict[str, Topic]:
    """The catalogue's topics under names of this test's own."""
    return {
        topic.name: msgspec.structs.replace(
            topic, name=prefix + topic.name, follows=prefix + topic.follows if topic.follows else topic.follows
        )
        for topic in TOPICS
    }


@pytest.fixture
def topics(kafka: Connection, catalogue: dict[str, Topic]) -> dict[str, str]:
    """The topics, made; their plain names to this test's names."""
    TopicAdmin(kafka).create(catalogue.values(), partitions=PARTITIONS)
    return {name: topic.name for name, topic in catalogue.items()}


@pytest.fixture
def publish(kafka: Connection, topics: dict[str, str]) -> Iterator[Callable[[int, bytes], None]]:
    """Publishes a frame and waits until the broker has it."""
    producer = FrameProducer(kafka, topic=topics[FRAMES])

    def send(partition: int, value: bytes) -> None:
        assert producer.send(partition, b"camera", value, [("h", b"1")])
        assert producer.flush(10.0) == 0

    yield send
    producer.close()


def member(kafka: Connection, topic: str, **options: Any) -> KafkaFrameSource:
    """A frame source in the topic's own group; `options` override."""
    callbacks = dict.fromkeys(("assigned", "revoked", "lost"), lambda _: None)
    return KafkaFrameSource(kafka, topic=topic, group=f"{topic}-group", **(callbacks | options))


def poll_until(holds: Callable[[list[Batch]], object], *sources: KafkaFrameSource) -> list[Batch]:
    """Poll in turn until the batches so far are enough, for 30 s at most."""
    batches: list[Batch] = []
    deadline = time.monotonic() + 30
    while not holds(batches):
        assert time.monotonic() < deadline, batches
        batches += [batch for source in sources if (batch := source.poll(0.05)) is not None]
    return batches


def count(batches: list[Batch]) -> int:
    """Records in the batches."""
    return sum(len(batch.records) for batch in batches)


def test_the_probe_knows_the_broker(kafka: Connection) -> None:
    """Its API versions are learned, and they suffice."""
    info = probe(kafka)
    assert info.nodes >= 1
    assert info.release is not None
    assert info.consumer_protocol
    info.require("consumer")


def test_topics_are_made_once_with_the_settings_of_the_catalogue(
    kafka: Connection, catalogue: dict[str, Topic]
) -> None:
    """The second time changes nothing, and what the cluster has is what was wanted."""
    admin, wanted = TopicAdmin(kafka), list(catalogue.values())
    assert [state.exists for state in admin.describe(wanted)] == [False] * len(wanted)
    assert sorted(admin.create(wanted, partitions=3)) == sorted(topic.name for topic in wanted)
    assert admin.create(wanted, partitions=5) == []
    states = admin.describe(wanted, partitions=3)
    assert [state.drift for state in states] == [()] * len(wanted)
    assert {state.name: state.partitions for state in states}[catalogue[WATCHLIST].name] == 1


def test_a_setting_changed_behind_our_back_is_drift(
    kafka: Connection, catalogue: dict[str, Topic], topics: dict[str, str], eventually: Callable[..., None]
) -> None:
    """With what it leads to if nothing is deleted any more."""
    entry = ConfigEntry("retention.ms", "-1", incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource(ResourceType.TOPIC, topics[FRAMES], incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": kafka.brokers}, logger=LOGGER)
    for done in client.incremental_alter_configs([change]).values():
        done.result()
    admin = TopicAdmin(kafka)
    eventually(lambda: admin.describe([catalogue[FRAMES]])[0].drift, "the change of a setting")
    (found,) = admin.describe([catalogue[FRAMES]])[0].drift
    assert (found.setting, found.found) == ("retention.ms", "-1")
    assert "for ever" in found.consequence


def test_broker_settings_can_be_read(kafka: Connection) -> None:
    """The doctor's judgements need them."""
    settings = TopicAdmin(kafka).broker_settings()
    assert len(settings) == probe(kafka).nodes
    assert all(int(each["log.retention.check.interval.ms"]) > 0 for each in settings.values())


def test_a_record_dropped_inside_the_client_breaks_custody(
    kafka: Connection, topics: dict[str, str], publish: Callable[[int, bytes], None]
) -> None:
    """The broker still has it, so retention does not explain the gap."""

    class Dropping(Consumer):
        def consume(self, *args: Any, **kwargs: Any) -> list[Message]:
            return [m for m in super().consume(*args, **kwargs) if m.error() or m.offset() != 1]

    for number in range(3):
        publish(0, b"%d" % number)
    source = member(kafka, topics[FRAMES], open_consumer=Dropping)
    with pytest.raises(CustodyError, match="partition 0: offsets 1 to 1 were not delivered"):
        poll_until(lambda got: count(got) >= 3, source)
    source.close()


class PausesCounted(Consumer):
    """A consumer that counts how often partitions were paused."""

    pauses = 0

    def pause(self, partitions: list[TopicPartition]) -> None:
        """As the client does it."""
        type(self).pauses += 1
        super().pause(partitions)


def test_partitions_that_are_held_back_for_one_that_is_behind_lose_nothing(
    kafka: Connection, topics: dict[str, str]
) -> None:
    """With room for a single record, so that the younger partition is paused as soon as it is met, again and again."""
    total, size = 1_000, 10_000
    producer = FrameProducer(kafka, topic=topics[FRAMES])
    for partition in (1, 0):
        for _ in range(total):
            assert producer.send(partition, b"camera", bytes(size), [])
        assert producer.flush(30.0) == 0
    producer.close()
    source = member(kafka, topics[FRAMES], batch_limit=32, prefetch_kib=2, open_consumer=PausesCounted)
    records = [r for batch in poll_until(lambda got: count(got) == 2 * total, source) for r in batch.records]
    source.close()
    offsets = {number: [r.offset for r in records if r.partition == number] for number in range(PARTITIONS)}
    assert offsets == {0: list(range(total)), 1: list(range(total))}
    assert PausesCounted.pauses


def test_the_classic_protocol_hands_partitions_over_as_well(
    kafka: Connection, topics: dict[str, str], publish: Callable[[int, bytes], None]
) -> None:
    """Batches in flight go stale, their commit is refused, and the successor begins at the committed offset."""
    for partition in range(PARTITIONS):
        for number in range(2):
            publish(partition, b"%d" % number)
    owned: dict[str, set[int]] = {"a": set(), "b": set()}

    def callbacks(name: str) -> dict[str, Any]:
        return {
            "assigned": owned[name].update,
            "revoked": owned[name].difference_update,
            "lost": owned[name].difference_update,
        }

    first = member(kafka, topics[FRAMES], group_protocol="classic", **callbacks("a"))
    outbox = KafkaOutbox(kafka, topic=topics[FRAMES], transactional_id=f"{topics[FRAMES]}-a")
    (*_, old) = poll_until(lambda got: count(got) >= 4, first)
    outbox.commit([], {0: 1, 1: 1}, old.membership)
    second = member(kafka, topics[FRAMES], group_protocol="classic", **callbacks("b"))
    after = poll_until(lambda got: count(got) >= 2 and owned["b"], first, second)
    with pytest.raises(TransactionAborted):
        outbox.commit([], dict.fromkeys(owned["b"], 2), old.membership)
    assert first.assignment > old.assignment
    # what the first read again before it gave a partition up, the second reads too: nobody had committed it
    assert {(r.partition, r.offset) for batch in after for r in batch.records} == {(0, 1), (1, 1)}
    for each in (first, second, outbox):
        each.close()


def test_a_reader_comes_to_the_end_past_transaction_markers(kafka: Connection, topics: dict[str, str]) -> None:
    """Markers have offsets and are never handed out."""
    outbox = KafkaOutbox(kafka, topic=topics[FRAMES], transactional_id=f"{topics[ALERTS]}-w")
    for number in range(3):
        outbox.commit([OutgoingRecord(topics[ALERTS], b"c", b"%d" % number, partition=0)], {}, None)
    reader = TopicReader(kafka, topics[ALERTS])
    ends = reader.ends()
    assert ends == {0: 6, 1: 0}
    assert [record.value for record in reader.read_to(ends, 10.0)] == [b"0", b"1", b"2"]
    assert reader.reached(ends)
    assert reader.positions[0] == 6
    reader.close()
    outbox.close()


def test_a_reader_from_the_end_gives_only_what_comes_later(
    kafka: Connection, topics: dict[str, str], publish: Callable[[int, bytes], None]
) -> None:
    """It has reached the end it began at before anything was read."""
    publish(0, b"before")
    reader = TopicReader(kafka, topics[FRAMES], start="end")
    assert reader.reached(reader.ends())
    publish(0, b"after")
    assert not reader.reached(reader.ends())
    assert [record.value for record in reader.read_to(reader.ends(), 10.0)] == [b"after"]
    reader.close()


def test_a_reader_of_a_topic_that_is_not_there_says_how_to_make_it(kafka: Connection, prefix: str) -> None:
    """In one line."""
    with pytest.raises(BrokerError, match=f"has no topic {prefix}nothing; create it with"):
        TopicReader(kafka, f"{prefix}nothing")


@pytest.mark.parametrize("after", [1, 5], ids=["shorter", "longer"])
def test_a_reader_of_a_state_ends_if_its_topic_is_made_anew(
    kafka: Connection, topics: dict[str, str], after: int
) -> None:
    """What it read before is void, also where the new log goes beyond the place at which it was."""
    name = topics[WATCHLIST]
    writer = RecordWriter(kafka)
    writer.write([OutgoingRecord(name, b"old", b"v")] * 3)
    reader = TopicReader(kafka, name, state=True)
    assert len(list(reader.read_to(reader.ends(), 10.0))) == 3
    admin = AdminClient({"bootstrap.servers": kafka.brokers})
    admin.delete_topics([name])[name].result()
    make_anew(admin, name)
    writer.write([OutgoingRecord(name, b"new", b"v")] * after)
    writer.close()
    until = time.monotonic() + 30.0
    with pytest.raises(BrokerError, match="was made anew or cut off"):
        while time.monotonic() < until:
            reader.poll(0.1)
    reader.close()


def make_anew(admin: AdminClient, name: str) -> None:
    """Make a topic that has just been deleted, as soon as Kafka lets it."""
    until = time.monotonic() + 15.0
    while True:
        try:
            admin.create_topics([NewTopic(name, 1, 1)])[name].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS or time.monotonic() > until:
                raise
        else:
            return


def test_a_writer_answers_with_the_last_offset_of_each_partition(kafka: Connection, topics: dict[str, str]) -> None:
    """The watchlist's version is one, and a null removes."""
    writer = RecordWriter(kafka)
    written = [OutgoingRecord(topics[WATCHLIST], b"k", b"v"), OutgoingRecord(topics[WATCHLIST], b"k", None)]
    assert writer.write(written) == {(topics[WATCHLIST], 0): 1}
    assert writer.write(written[:1]) == {(topics[WATCHLIST], 0): 2}
    writer.close()
    reader = TopicReader(kafka, topics[WATCHLIST])
    assert [record.value for record in reader.read_to(reader.ends(), 10.0)] == [b"v", None, b"v"]
    reader.close()


def test_frames_are_counted_as_the_broker_acknowledges_them(kafka: Connection, topics: dict[str, str]) -> None:
    """Each is told of once, and carries the broker's append time."""
    producer, said = FrameProducer(kafka, topic=topics[FRAMES]), []
    began = time.time_ns()
    for number in range(10):
        assert producer.send(number % PARTITIONS, b"c", b"x" * 100_000, [("h", b"1")], said.append)
    assert producer.flush(10.0) == 0
    assert (producer.sent, producer.failed, producer.waiting, said) == (10, 0, 0, [True] * 10)
    producer.close()
    reader = TopicReader(kafka, topics[FRAMES])
    records = list(reader.read_to(reader.ends(), 10.0))
    assert len(records) == 10
    assert all(record.headers == (("h", b"1"),) for record in records)
    assert all(abs(record.append_ns - began) < 30 * 10**9 for record in records)
    reader.close()


def test_a_frame_that_is_too_large_has_failed_at_once(kafka: Connection, topics: dict[str, str]) -> None:
    """Over the topic's limit of 4 MiB."""
    producer = FrameProducer(kafka, topic=topics[FRAMES])
    assert not producer.send(0, b"c", b"x" * (5 * 1024 * 1024), [])
    assert (producer.sent, producer.failed) == (0, 1)
    producer.close()
