"""A Kafka of three nodes: what is on it survives the loss of any one, and nothing of it stays."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from pipeline.catalog.topics import TOPICS
from pipeline.local.broker import REPLICATED
from pipeline.local.kafka import LocalKafka
from pipeline.local.leaders import TRANSACTIONS
from pipeline.local.ports import listens
from pipeline.records import ConsumedRecord, OutgoingRecord
from pipeline.streams.client import LOGGER, Connection
from pipeline.streams.offsets import LogEnds
from pipeline.streams.outbox import KafkaOutbox
from pipeline.streams.producer import FrameProducer
from pipeline.streams.reader import TopicReader
from pipeline.streams.topics import TopicAdmin
from pipeline.streams.writer import RecordWriter

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]
NODES = frozenset({1, 2, 3})
TAKE_OVER_SECONDS = 20.0
"""Several times what another leader takes (3 s, 6 s if the active controller is lost too), for a busy machine."""


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalKafka]:
    """Three nodes for every test that ends with all of them in sync again."""
    with LocalKafka(nodes=3) as kafka:
        yield kafka


def shown_by_all(cluster: LocalKafka, topic: str) -> bool:
    """Whether every node has heard of a topic and its leaders: one that has not is asked for them in vain."""
    for node in cluster.nodes.values():
        found = AdminClient({"bootstrap.servers": node.address}, logger=LOGGER).list_topics(timeout=10).topics
        if topic not in found or any(each.leader < 0 for each in found[topic].partitions.values()):
            return False
    return True


@pytest.fixture
def topic(cluster: LocalKafka, prefix: str, eventually: Eventually) -> str:
    """A topic of one partition, whose leader coordinates the writers' transactions: its loss is the worst there is."""
    # the first transactional producer has Kafka make the topic that says who coordinates
    KafkaOutbox(Connection(cluster.address), topic="", transactional_id=f"{prefix}first").close()
    eventually(lambda: shown_by_all(cluster, TRANSACTIONS), "the coordinators to be known")
    coordinator = cluster.transaction_coordinator(f"{prefix}writer")
    assert coordinator is not None
    wanted = NewTopic(f"{prefix}topic", 1, replica_assignment=[[coordinator, *(NODES - {coordinator})]])
    admin = AdminClient({"bootstrap.servers": cluster.address}, logger=LOGGER)
    for made in admin.create_topics([wanted]).values():
        made.result()
    eventually(lambda: shown_by_all(cluster, f"{prefix}topic"), "the topic to be known")
    return f"{prefix}topic"


class Writers:
    """What cameras and workers write with, and what they were told is there."""

    def __init__(self, cluster: LocalKafka, topic: str, transactional_id: str) -> None:
        connection = Connection(cluster.address)
        self.acknowledged: list[bytes] = []
        self._topic = topic
        self._reader = TopicReader(connection, topic)
        self._frames = FrameProducer(connection, topic=topic, delivery_timeout=TAKE_OVER_SECONDS)
        self._outbox = KafkaOutbox(
            connection, topic=topic, transactional_id=transactional_id, deadline=2 * TAKE_OVER_SECONDS
        )

    def send(self, name: str) -> None:
        """Hand over 20 frames and wait for nothing."""
        frames = [f"{name} frame {number}".encode() for number in range(20)]
        assert all(self._frames.send(0, b"camera", frame, []) for frame in frames)
        self.acknowledged += frames

    def write(self, name: str) -> None:
        """Publish 20 frames and commit a transaction of 20 records; fails if any of them, or before, is refused."""
        self.send(name)
        assert self._frames.flush(2 * TAKE_OVER_SECONDS) == 0
        assert self._frames.failed == 0
        alerts = [f"{name} alert {number}".encode() for number in range(20)]
        self._outbox.commit([OutgoingRecord(self._topic, b"camera", alert, partition=0) for alert in alerts], {}, None)
        self.acknowledged += alerts

    def read(self) -> list[bytes | None]:
        """Every record that is committed."""
        return [record.value for record in self._reader.read_to(self._reader.ends(), TAKE_OVER_SECONDS)]

    def poll(self) -> list[ConsumedRecord]:
        """Further records, as they come."""
        return self._reader.poll(0.1)

    def close(self) -> None:
        for each in (self._frames, self._outbox, self._reader):
            each.close()


@pytest.fixture
def writers(cluster: LocalKafka, topic: str, prefix: str) -> Iterator[Writers]:
    """A camera's and a worker's connection to the topic."""
    made = Writers(cluster, topic, f"{prefix}writer")
    yield made
    made.close()


@pytest.fixture
def whole(cluster: LocalKafka, topic: str, eventually: Eventually) -> Iterator[Callable[[], None]]:
    """Waits until every node has every record again; a test that fails leaves a whole cluster to the next."""

    def wait() -> None:
        for name in (topic, TRANSACTIONS):
            eventually(
                lambda name=name: cluster.partition(name, 0).in_sync == NODES, f"{name} in sync", TAKE_OVER_SECONDS
            )

    yield wait
    for number, node in cluster.nodes.items():
        if not node.alive():
            cluster.restart(number)
        cluster.resume(number)


def test_every_node_answers_and_has_the_settings_of_a_replicated_cluster(cluster: LocalKafka) -> None:
    """Each by itself; its address lists them all."""
    assert cluster.address == ",".join(node.address for node in cluster.nodes.values())
    assert len({node.address for node in cluster.nodes.values()}) == 3
    for number, node in cluster.nodes.items():
        admin = AdminClient({"bootstrap.servers": node.address}, logger=LOGGER)
        assert frozenset(admin.list_topics(timeout=10).brokers) == NODES
        [answer] = admin.describe_configs([ConfigResource(ConfigResource.Type.BROKER, str(number))]).values()
        told = {name: entry.value for name, entry in answer.result(10).items()}
        assert {name: told.get(name) for name in REPLICATED} == dict(REPLICATED)


def test_topics_of_the_catalogue_are_on_three_nodes_and_acknowledged_by_two(cluster: LocalKafka) -> None:
    """Without a word about it in the settings of a run, nor in the broker's own: the topics say it themselves."""
    topics = TopicAdmin(Connection(cluster.address))
    topics.create(TOPICS, partitions=2)
    assert [state.drift for state in topics.describe(TOPICS)] == [()] * len(TOPICS)
    admin = AdminClient({"bootstrap.servers": cluster.address}, logger=LOGGER)
    resources = [ConfigResource(ConfigResource.Type.TOPIC, topic.name) for topic in TOPICS]
    for answer in admin.describe_configs(resources).values():
        insync = answer.result(10)["min.insync.replicas"]
        assert (insync.value, insync.is_default) == ("2", False)
    assert {cluster.partition(topic.name, 0).replicas for topic in TOPICS} == {NODES}


def test_the_coordinator_of_a_transaction_is_the_one_that_logs_it(cluster: LocalKafka, topic: str, prefix: str) -> None:
    """Kafka's own log has the id in the partition of that leader; it is replicated like all else."""
    reader = TopicReader(Connection(cluster.address), TRANSACTIONS)
    ends = reader.ends()
    named = f"{prefix}first".encode()
    [number] = {each.partition for each in reader.read_to(ends, TAKE_OVER_SECONDS) if named in (each.key or b"")}
    reader.close()
    assert cluster.transaction_coordinator(f"{prefix}first") == cluster.leader_of(TRANSACTIONS, number)
    assert {cluster.partition(TRANSACTIONS, each).replicas for each in ends} == {NODES}


def test_nothing_committed_is_lost_when_a_leader_is_killed_and_it_comes_back_in_sync(
    cluster: LocalKafka, topic: str, writers: Writers, whole: Callable[[], None]
) -> None:
    """It led the partition and coordinated the transactions; both writers go on as if nothing had been."""
    writers.write("before")
    leader = cluster.leader_of(topic, 0)
    assert leader is not None
    pid, folder = cluster.nodes[leader].pid, cluster.nodes[leader].folder
    cluster.kill(leader)
    assert (alive(pid), cluster.alive()) == (False, True)
    writers.write("without it")
    assert cluster.leader_of(topic, 0) in NODES - {leader}
    assert leader not in cluster.partition(topic, 0).in_sync
    cluster.restart(leader)
    assert cluster.nodes[leader].folder == folder
    assert cluster.nodes[leader].pid != pid
    whole()
    writers.write("with it")
    assert writers.read() == writers.acknowledged


def test_topics_are_described_while_a_node_that_was_just_killed_is_still_known(
    cluster: LocalKafka, whole: Callable[[], None]
) -> None:
    """Clients are told any node as the one to ask, and for some seconds that one too."""
    TopicAdmin(Connection(cluster.address)).create(TOPICS, partitions=2)
    cluster.kill(2)
    for _ in range(6):
        assert all(state.exists for state in TopicAdmin(Connection(cluster.address)).describe(TOPICS))
    cluster.restart(2)
    whole()


def test_a_paused_leader_is_taken_over_from_and_follows_when_it_goes_on(
    cluster: LocalKafka, topic: str, writers: Writers, whole: Callable[[], None], eventually: Eventually
) -> None:
    """It believes that it leads until it is told otherwise, and what it says then counts for nothing."""
    writers.write("before")
    leader = cluster.leader_of(topic, 0)
    assert leader is not None
    cluster.pause(leader)
    assert cluster.nodes[leader].alive()
    process = psutil.Process(cluster.nodes[leader].pid)
    eventually(lambda: process.status() == psutil.STATUS_STOPPED, "the node to stand still")
    writers.send("asked of it")
    eventually(lambda: cluster.leader_of(topic, 0) in NODES - {leader}, "another leader", TAKE_OVER_SECONDS)
    cluster.resume(leader)
    writers.write("with it")
    whole()
    assert writers.read() == writers.acknowledged


def test_a_reader_goes_on_while_the_leader_that_it_reads_from_stands_still(
    cluster: LocalKafka, topic: str, writers: Writers, whole: Callable[[], None], eventually: Eventually
) -> None:
    """Its connection stays open and says nothing, and the request on its way is given up for another leader's."""
    writers.write("before")
    assert writers.read() == writers.acknowledged
    leader = cluster.leader_of(topic, 0)
    assert leader is not None
    cluster.pause(leader)
    eventually(lambda: cluster.leader_of(topic, 0) in NODES - {leader}, "another leader", TAKE_OVER_SECONDS)
    write_elsewhere(cluster, topic, b"meanwhile")
    eventually(
        lambda: b"meanwhile" in [record.value for record in writers.poll()], "the record to be read", TAKE_OVER_SECONDS
    )
    cluster.resume(leader)
    whole()


def write_elsewhere(cluster: LocalKafka, topic: str, value: bytes) -> int:
    """Have a writer that knows nothing of a paused node write a record; its offset."""
    writer = RecordWriter(Connection(",".join(node.address for node in cluster.nodes.values() if node.serves())))
    try:
        return writer.write([OutgoingRecord(topic, b"camera", value, partition=0)])[topic, 0]
    finally:
        writer.close()


def test_the_end_of_a_log_is_not_what_a_leader_of_the_past_takes_it_for(
    cluster: LocalKafka, topic: str, whole: Callable[[], None], eventually: Eventually
) -> None:
    """It goes on with the questions that it was asked while it stood still, before it hears that another leads."""
    write_elsewhere(cluster, topic, b"before")
    leader = cluster.leader_of(topic, 0)
    assert leader is not None
    cluster.pause(leader)
    eventually(lambda: cluster.leader_of(topic, 0) in NODES - {leader}, "another leader", TAKE_OVER_SECONDS)
    last = write_elsewhere(cluster, topic, b"meanwhile")
    asking = Connection(cluster.nodes[leader].address)
    before = connections_to(asking)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lambda: LogEnds(asking, topic).confirmed_since([0], 0))
        eventually(lambda: connections_to(asking) - before, "the question to be on its way")
        cluster.resume(leader)
        assert answer.result(2 * TAKE_OVER_SECONDS) == {0: (0, last + 1)}
    whole()


def connections_to(there: Connection) -> set[int]:
    """Ports of this process with a connection to a node; the kernel makes one to a node that stands still, too."""
    port = int(there.brokers.rpartition(":")[2])
    return {
        each.laddr.port
        for each in psutil.Process().net_connections("tcp")
        if each.status == psutil.CONN_ESTABLISHED and each.raddr.port == port
    }


PARENT = """
import sys, time
from pipeline.local.kafka import LocalKafka
with LocalKafka(nodes=3) as kafka:
    kafka.restart(2)
    kafka.pause(3)
    for node in kafka.nodes.values():
        print(node.address, node.guard_pid, node.pid, node.folder, flush=True)
    time.sleep(300)
"""


def test_nothing_is_left_when_the_parent_is_killed(eventually: Eventually) -> None:
    """Not of a node that was started again either, nor of one that is paused; within 30 s."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        try:
            nodes = [parent.stdout.readline().split() for _ in NODES]
        finally:
            parent.kill()
        pids = [int(pid) for _, *both, _ in nodes for pid in both]
        eventually(lambda: not any(alive(pid) for pid in pids), "the processes to end", 30)
    assert not any(listens(int(address.rpartition(":")[2])) for address, *_ in nodes)
    assert not any(Path(folder).exists() for *_, folder in nodes)
