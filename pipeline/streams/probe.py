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

from confluent_kafka import KafkaError, KafkaException
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
PROTOCOL_ADVICE: Final = "check kafka.security.protocol: this may be a listener of another one"
"""What to do about one that hangs up, as a listener does that hears TLS or does not hear it."""
PASSWORD_ADVICE: Final = (
    "check kafka.security.username, kafka.security.mechanism, and the password in kafka.security.password or "
    "kafka.security.password_file"
)
CERTIFICATE_ADVICE: Final = (
    "check that kafka.security.ca_file holds the authority that signed the brokers' certificates, and that these name "
    "the host in kafka.brokers (--brokers)"
)
SSL_CLOSED: Final = "SSL connection closed by peer"
"""In librdkafka's report of a TLS client whom a plaintext listener does not understand."""

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
        raise broker_error(connection.brokers, "connection", error, diagnosis(notices, timeout)) from error
    while time.monotonic() < deadline:
        before = len(versions.apis)
        admin.poll(0.02)
        if before and len(versions.apis) == before:
            break
    return BrokerInfo(connection.brokers, metadata.cluster_id or "", len(metadata.brokers), versions.apis)


def diagnosis(notices: Notices, timeout: float) -> str:
    """Why no broker answered, and what to check."""
    cause, code = notices.cause(), notices.telling()
    if code in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
        return f"{cause}; {PASSWORD_ADVICE}"
    if code == KafkaError._SSL:
        return f"{cause}; {CERTIFICATE_ADVICE}"
    if SSL_CLOSED in cause:
        return f"{cause}; {PROTOCOL_ADVICE}"
    if not cause and notices.down_since is not None:
        # it let the client in: had it not, there would be a report of that
        return f"it closes the connection and says nothing; {PROTOCOL_ADVICE}"
    return f"{cause or f'no answer within {timeout:.0f} s'}; {ADVICE}"


class _Versions(logging.Handler):
    """Collects API versions from librdkafka's log lines."""

    def __init__(self) -> None:
        super().__init__()
        self.apis: dict[int, tuple[int, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if found := _API_LINE.search(record.getMessage()):
            key, lowest, highest = map(int, found.groups())
            self.apis[key] = (lowest, highest)
