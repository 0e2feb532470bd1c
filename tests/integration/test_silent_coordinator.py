"""A broker stands still that coordinates both a worker's group and its transactions."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from threading import Thread

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.errors import TransactionAborted
from pipeline.local.kafka import LocalKafka
from pipeline.records import OutgoingRecord
from pipeline.streams.client import LOGGER, Connection
from pipeline.streams.outbox import KafkaOutbox

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]
WORKER = "run.worker-0"
RECOVERY_SECONDS = 20.0
"""What the loss of a broker may cost."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalKafka]:
    """Three nodes, and topics that one transaction of a worker reaches."""
    with LocalKafka(nodes=3) as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.address}, logger=LOGGER)
        for made in admin.create_topics([NewTopic("frames", 1, 3), NewTopic("alerts", 3, 3)]).values():
            made.result()
        yield kafka


def member(cluster: LocalKafka, group: str, eventually: Eventually) -> Consumer:
    """The only member of a group, once it has its partition."""
    consumer = Consumer(
        {"bootstrap.servers": cluster.address, "group.id": group, "group.protocol": "consumer"}, logger=LOGGER
    )
    consumer.subscribe(["frames"])

    def assigned() -> bool:
        consumer.poll(0.1)
        return bool(consumer.assignment())

    eventually(assigned, f"{group} to have its partition", RECOVERY_SECONDS)
    return consumer


def test_a_worker_commits_again_although_one_broker_was_both_its_coordinators_and_stands_still(
    cluster: LocalKafka, eventually: Eventually
) -> None:
    """While that one still stands still. The client would wait for it for ever, once it is not in the metadata."""
    outbox = KafkaOutbox(Connection(cluster.address), topic="frames", transactional_id=WORKER)
    member(cluster, "the first has Kafka make the topic of offsets", eventually).close()
    coordinator = cluster.transaction_coordinator(WORKER)
    assert coordinator is not None
    names = map("group-{}".format, range(1000))
    group = next(name for name in names if cluster.group_coordinator(name) == coordinator)
    consumer = member(cluster, group, eventually)
    membership = consumer.consumer_group_metadata()
    records = [OutgoingRecord("alerts", b"camera", b"alert", partition=number) for number in range(3)]

    def commit() -> None:
        """As a worker does, which tries again after a rollback."""
        try:
            outbox.commit(records, {0: 0}, membership)
        except TransactionAborted:
            commit()

    commit()
    cluster.pause(coordinator)
    again: Future[None] = Future()
    # a client that hangs does not come back when the test is over, either
    Thread(target=lambda: again.set_result(commit()), daemon=True).start()

    def over() -> bool:
        consumer.poll(0.1)
        return again.done()

    try:
        eventually(over, "the transaction to end", RECOVERY_SECONDS)
    finally:
        cluster.resume(coordinator)
    outbox.close()
    consumer.close()
