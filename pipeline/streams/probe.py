"""Whether a Kafka can be reached and is new enough, before anything is built on it.

librdkafka learns each broker's API versions when it connects, and tells nobody but its log. They are read from there,
since that works over every kind of connection and needs no permission in the cluster, unlike reading the broker's
settings.
"""

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.errors import BrokerError
from pipeline.streams.client import Connection, Notices, broker_error

GroupProtocol = Literal["consumer", "classic"]

PRODUCE: Final = 0
CONSUMER_GROUP_HEARTBEAT: Final = 68

RELEASES: Final = ((13, "4.1"), (12, "4.0"), (11, "3.8"), (10, "3.7"))
"""The highest version of the API Produce and the Kafka release that brought it, newest first."""
OLDEST_PRODUCE: Final = 10
"""Kafka 3.7. Exactly-once rests on brokers that check a partition's transaction before they append to it (since 3.6,
KIP-890): before, a late record could open a transaction that nothing ends, and every reader of committed records
waits behind it. 3.7 is the first release after that which its API versions tell apart."""
OLDEST_RELEASE: Final = "3.7"
ADVICE: Final = "check that Kafka is up, kafka.brokers (--brokers), and kafka.security if it is protected"
"""What to do about a Kafka that does not answer; every command probes before it does anything else with one."""

_API_LINE: Final = re.compile(r"ApiKey \S+ \((\d+)\) Versions (\d+)\.\.(\d+)")


@dataclass(frozen=True, slots=True)
class BrokerInfo:
    """What a broker said of itself."""

    brokers: str
    cluster: str
    nodes: int
    apis: Mapping[int, tuple[int, int]]
    """Per API key the lowest and the highest version that the broker speaks; empty if that could not be learned."""

    @property
    def release(self) -> str | None:
        """The Kafka release that the API versions point to: this one or a later one; None if unknown."""
        newest = self.apis.get(PRODUCE, (0, -1))[1]
        return next((release for version, release in RELEASES if newest >= version), None)

    @property
    def consumer_protocol(self) -> bool:
        """Whether groups can use the protocol `consumer` (KIP-848)."""
        return CONSUMER_GROUP_HEARTBEAT in self.apis

    def require(self, group_protocol: GroupProtocol) -> None:
        """Raise BrokerError if this Kafka is too old for Lamppost, or for the group protocol that was chosen."""
        if not self.apis:
            return
        if self.apis.get(PRODUCE, (0, -1))[1] < OLDEST_PRODUCE:
            raise BrokerError(f"Kafka at {self.brokers} is older than {OLDEST_RELEASE}; use {OLDEST_RELEASE} or newer")
        if group_protocol == "consumer" and not self.consumer_protocol:
            raise BrokerError(
                f"Kafka at {self.brokers} lacks the group protocol `consumer` (standard since 4.0); "
                f"set kafka.group_protocol to classic, or upgrade it"
            )


def probe(connection: Connection, timeout: float = 5.0) -> BrokerInfo:
    """Ask a broker who it is; raises BrokerError within about `timeout` seconds if none answers."""
    versions = _Versions()
    logger = logging.Logger("lamppost.kafka.probe")  # private to this call: it takes every line
    logger.addHandler(versions)
    notices = Notices()
    admin = connection.open(AdminClient, notices, {"debug": "feature", "log_level": 7}, logger)
    deadline = time.monotonic() + timeout
    try:
        metadata = admin.list_topics(timeout=timeout)
    except KafkaException as error:
        admin.poll(0)
        cause = notices.cause() or f"no answer within {timeout:.0f} s"
        raise broker_error(connection.brokers, "connection", error, f"{cause}; {ADVICE}") from error
    while time.monotonic() < deadline:
        before = len(versions.apis)
        admin.poll(0.02)
        if before and len(versions.apis) == before:
            break
    return BrokerInfo(connection.brokers, metadata.cluster_id or "", len(metadata.brokers), versions.apis)


class _Versions(logging.Handler):
    """Collects API versions from librdkafka's log lines."""

    def __init__(self) -> None:
        super().__init__()
        self.apis: dict[int, tuple[int, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if found := _API_LINE.search(record.getMessage()):
            key, lowest, highest = map(int, found.groups())
            self.apis[key] = (lowest, highest)
