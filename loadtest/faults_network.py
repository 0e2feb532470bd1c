"""The network that faults are inflicted on: three brokers, a Ray of three nodes, shards with replicas, two workers."""

import dataclasses
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from loadtest.faults_recording import PRECISION
from loadtest.faults_shard import LostShard
from pipeline.errors import ClusterError
from pipeline.local.kafka import LocalKafka
from pipeline.local.ray import LocalRay
from pipeline.local.ray_node import RayNode
from pipeline.records import WatchlistEntry
from pipeline.runtime.connections import connection_of
from pipeline.runtime.demo_watchlist import DemoWatchlist
from pipeline.runtime.services import MEMORY_OF_ACTORS, THREADS_OF_ACTORS
from pipeline.runtime.settings import Kafka, Matching, Overload, Run, Settings, Vision
from pipeline.runtime.topics import create
from pipeline.streams.client import LOGGER, Connection

if TYPE_CHECKING:
    from pipeline.actors.run_plan import RunStatus
    from pipeline.runtime.supervision import Supervision

Policy = Literal["wait", "degrade"]

PARTITIONS: Final = 4
WORKERS: Final = 2
SHARDS: Final = 2
REPLICAS: Final = 2
NODES: Final = 2
"""Ray nodes beside the head, which is never hit: with it Ray itself would be lost."""
SEAT: Final = "seat"
"""A resource of those nodes that a worker takes one of, so that no worker is on the head."""
BROKERS: Final = 3
START_SECONDS: Final = 120.0
ANSWER_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 0.1
TOKEN: Final = secrets.token_hex(32)
"""One for all networks of a process, since Ray reads it once."""


@dataclass
class Network:
    """A run that is up, and the parts of it that can be hit."""

    settings: Settings
    connection: Connection
    kafka: LocalKafka
    head: LocalRay
    nodes: list[RayNode]
    folders: Path | None
    """Where Ray's folders are; None: where they usually are."""
    supervision: "Supervision"

    @property
    def run(self) -> str:
        """Its name."""
        return str(self.settings.run.name)

    def status(self) -> "RunStatus":
        """The run now; raises ClusterError if nobody says."""
        return self.supervision.status(ANSWER_SECONDS)

    def replace_node(self, node: RayNode) -> None:
        """Start another node in the place of one that is gone, or is to go."""
        node.stop()
        self.nodes.remove(node)
        self.nodes.append(_started_node(self.head, self.folders))

    def trouble(self, touched: Iterable[int]) -> str:
        """What is not as it was before a fault that touched these processes; empty if the network is whole.

        Each of them has to be dead, or part of the run. Raises ClusterError if the run has failed for good.
        """
        try:
            status = self.status()
        except ClusterError as error:
            return str(error)
        if status.failure:
            raise ClusterError(f"the run has failed: {status.failure}")
        if len(status.workers) != WORKERS or len(status.shards) != SHARDS * REPLICAS or not status.ready:
            return "not all workers and shards are up"
        members = set(pids_of(status))
        for pid in touched:
            if alive(pid) != (pid in members):
                return f"process {pid} is {'alive and not' if alive(pid) else 'dead, but still'} part of the run"
        return self._unsynchronised()

    def lost(self, shard: int) -> LostShard:
        """A watch over a shard that was lost just now."""
        return LostShard(self.run, shard, REPLICAS)

    def _unsynchronised(self) -> str:
        admin = AdminClient({"bootstrap.servers": self.connection.brokers}, logger=LOGGER)
        try:
            topics = admin.list_topics(timeout=ANSWER_SECONDS).topics
        except KafkaException as error:
            return f"Kafka does not answer: {error}"
        for topic in topics.values():
            for each in topic.partitions.values():
                if len(each.isrs) != BROKERS:
                    return f"partition {each.id} of {topic.topic} is in sync on {len(each.isrs)} brokers"
        return ""


def pids_of(status: "RunStatus") -> list[int]:
    """The processes of a run: supervisor, workers, shards."""
    return [status.pid, *(each.pid for each in status.workers), *(each.pid for each in status.shards)]


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def _started_node(head: LocalRay, folders: Path | None) -> RayNode:
    """A node with room for every worker."""
    node = RayNode(head, cpus=1, resources={SEAT: WORKERS}, parent=folders)
    node.start()
    return node


def _stop_all(nodes: Iterable[RayNode]) -> None:
    for node in nodes:
        node.stop()


@contextmanager
def network(
    policy: Policy, entries: Sequence[WatchlistEntry], folders: Path | None, say: Callable[[str], None]
) -> Iterator[Network]:
    """Start everything and wait until it serves; it ends with the block. Raises LamppostError if it does not start."""
    name = f"faults-{policy}"
    with ExitStack() as stack:
        head = LocalRay(
            cpus=1,
            environment={**THREADS_OF_ACTORS, **MEMORY_OF_ACTORS, "RAY_AUTH_TOKEN": TOKEN},
            parent=folders,
        )
        os.environ.update(head.environment)
        say("three brokers and a Ray of three nodes start")
        head.start()
        stack.callback(head.stop)
        kafka = LocalKafka(nodes=BROKERS)
        kafka.start()
        stack.callback(kafka.stop)
        kafka.wait(START_SECONDS)
        head.wait()
        settings = Settings(
            kafka=Kafka(brokers=kafka.address),
            run=Run(name=name, group=name, workers=WORKERS, partitions=PARTITIONS),
            matching=Matching(shards=SHARDS, replicas=REPLICAS, on_shard_loss=policy),
            overload=Overload(policy="block"),
            vision=Vision(threads=1, precision=PRECISION),
        )
        connection = connection_of(settings, "lamppost-faults")
        create(settings)
        DemoWatchlist(connection).publish(entries)
        from pipeline.runtime.composition import run_plan  # noqa: PLC0415  # Ray reads its environment when imported
        from pipeline.runtime.supervision import connected, supervised  # noqa: PLC0415  # as above

        nodes: list[RayNode] = []
        stack.callback(_stop_all, nodes)
        stack.enter_context(connected(head.address, name, verbose=False))
        plan = dataclasses.replace(run_plan(settings, name), worker_options={"resources": {SEAT: 1}})
        nodes.extend(_started_node(head, folders) for _ in range(NODES))
        up = Network(settings, connection, kafka, head, nodes, folders, stack.enter_context(supervised(plan)))
        say("workers and shards start")
        await_whole(up, START_SECONDS)
        yield up


def await_whole(up: Network, seconds: float, touched: Iterable[int] = ()) -> None:
    """Wait until the network is whole; raises ClusterError with what is not, or what the run failed with."""
    deadline = time.monotonic() + seconds
    while trouble := up.trouble(touched):
        if time.monotonic() > deadline:
            raise ClusterError(f"the network is not whole after {seconds:.0f} s: {trouble}")
        time.sleep(LOOK_SECONDS)
