"""Which node of a Kafka leads what: a partition, the transactions of a transactional id, and a consumer group."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.errors import BrokerError
from pipeline.local.launch import ASK_SECONDS, SILENT

TRANSACTIONS: Final = "__transaction_state"
OFFSETS: Final = "__consumer_offsets"
SMALLEST: Final = -(2**31)
"""Of Java's integers the one without a positive counterpart, which Kafka takes for 0."""


@dataclass(frozen=True, slots=True)
class Partition:
    """The nodes of a partition, by their ids."""

    leader: int | None
    """None while it has none."""
    replicas: frozenset[int]
    in_sync: frozenset[int]


def partition_of(address: str, topic: str, partition: int, access: Mapping[str, str] | None = None) -> Partition:
    """Who leads and who holds a partition; raises BrokerError if nobody answers or there is no such partition.

    `access` are librdkafka's properties for a listener that is protected, here and below.
    """
    known = _partitions(address, topic, access)
    if partition not in known:
        raise BrokerError(f"Kafka at {address} has no partition {partition} of {topic}")
    return known[partition]


def transaction_coordinator(address: str, transactional_id: str, access: Mapping[str, str] | None = None) -> int | None:
    """The node that coordinates the id's transactions, None while there is none.

    It is the leader of the partition that the id hashes to, since no admin request of librdkafka asks for it. Raises
    BrokerError if nobody answers, or no transactional producer was ever there.
    """
    return _coordinator(address, TRANSACTIONS, transactional_id, access)


def group_coordinator(address: str, group: str, access: Mapping[str, str] | None = None) -> int | None:
    """The node that coordinates a consumer group, found as that of transactions is; None while there is none.

    Raises BrokerError if nobody answers, or no group was ever there.
    """
    return _coordinator(address, OFFSETS, group, access)


def _coordinator(address: str, topic: str, id_: str, access: Mapping[str, str] | None) -> int | None:
    known = _partitions(address, topic, access)
    hashed = java_hash(id_)
    return known[(0 if hashed == SMALLEST else abs(hashed)) % len(known)].leader


def java_hash(text: str) -> int:
    """``String.hashCode`` of Java, a signed number of 32 bits: what Kafka divides ids among partitions by."""
    units = text.encode("utf-16-be")
    result = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        result = (31 * result + 256 * high + low) % 2**32
    return result - 2**32 if result >= 2**31 else result


def _partitions(address: str, topic: str, access: Mapping[str, str] | None) -> dict[int, Partition]:
    admin = AdminClient({"bootstrap.servers": address, **(access or {})}, logger=SILENT)
    try:
        told = admin.list_topics(topic, timeout=ASK_SECONDS).topics[topic]
    except KafkaException as error:
        raise BrokerError(f"Kafka at {address}: asking for {topic} failed: {error}") from error
    if told.error is not None:
        raise BrokerError(f"Kafka at {address} has no topic {topic}: {told.error}")
    return {
        number: Partition(None if each.leader < 0 else each.leader, frozenset(each.replicas), frozenset(each.isrs))
        for number, each in told.partitions.items()
    }
