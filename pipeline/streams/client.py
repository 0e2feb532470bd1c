"""What every client of librdkafka shares: properties, silence, and errors in Lamppost's words.

librdkafka prints to standard error by itself, even at its lowest log level when an error is fatal. Its lines go to the
logger ``lamppost.kafka`` instead, which says nothing unless somebody adds a handler.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

from pipeline.errors import BrokerError, Fenced, SettingsError

LOGGER: Final = logging.getLogger("lamppost.kafka")
LOGGER.addHandler(logging.NullHandler())

FENCED_CODES: Final = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})
PASSING_CODES: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._DESTROY_BROKER,  # the connection of a broker that is not in the metadata any more
        KafkaError._MAX_POLL_EXCEEDED,  # the group's lost callback follows and says what it means
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,  # of a leader that was elected a moment ago
        KafkaError.REQUEST_TIMED_OUT,
    }
)
"""Errors that librdkafka goes on from by itself."""
RESET_CODES: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})
"""What a consumer is told in place of a record: there is none at its position."""
DENIED_CODES: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
"""What Kafka answers if no ACL allows the request."""
REQUEST_MS: Final = 5000
"""How long a broker may leave a request unanswered before another leader is looked for; 60 s by default.

A broker that stands still keeps its connections open, while its partitions get other leaders within its session (3 s on
a local Kafka of three, 9 s by default).
"""
DENIED_ADVICE: Final = "no ACL allows this user it; `lamppost topics create --acls` allows each role what it needs"
TELLING_CODES: Final = (
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._SSL,
    KafkaError._RESOLVE,
    KafkaError._TRANSPORT,
)
"""Which of many reported errors names the cause of a failed connection, best first."""
SETTING_OF: Final[Mapping[str, str]] = {
    "security.protocol": "kafka.security.protocol",
    "sasl.mechanism": "kafka.security.mechanism",
    "sasl.username": "kafka.security.username",
    "sasl.password": "kafka.security.password",
    "ssl.ca.location": "kafka.security.ca_file",
    "ssl.certificate.location": "kafka.security.certificate_file",
    "ssl.key.location": "kafka.security.key_file",
    "ssl.key.password": "kafka.security.key_password",
}
"""The setting that a property of librdkafka comes from; its complaints name the property."""

Client = TypeVar("Client")


@dataclass(frozen=True, slots=True)
class Connection:
    """Which Kafka, and how to speak to it."""

    brokers: str
    """Bootstrap addresses, host:port with commas between them."""
    security: Mapping[str, str] = field(default_factory=dict, repr=False)
    """librdkafka properties of encryption and authentication; may hold secrets, never shown."""
    name: str = "lamppost"
    """``client.id``, which Kafka's own tools and quotas show."""

    def open(
        self,
        make: Callable[..., Client],
        notices: "Notices",
        properties: Mapping[str, str | int | bool],
        logger: logging.Logger = LOGGER,
    ) -> Client:
        """Make a client with its own properties on top of the common ones; SettingsError if librdkafka refuses them."""
        common: dict[str, Any] = {
            "bootstrap.servers": self.brokers,
            "client.id": self.name,
            "log_level": 5,
            "log.connection.close": False,
            "error_cb": notices.note,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.propagation.max.ms": 5000,
        }
        try:
            return make({**common, **self.security, **properties}, logger=logger)
        except KafkaException as error:
            reason = _reason(error)
            blamed = [setting for name, setting in SETTING_OF.items() if name in reason]
            wrong = " or ".join(blamed) or "the security settings or kafka.security.properties"
            raise SettingsError(f"kafka: {reason}; correct {wrong}") from error


class Notices:
    """Errors that a client reports outside its calls; they arrive while it is polled, in the polling thread."""

    def __init__(self) -> None:
        self.down_since: float | None = None
        """Monotonic seconds when the last reachable broker went away; None while one is there."""
        self.fatal: KafkaError | None = None
        self._latest: dict[int, str] = {}

    def note(self, error: KafkaError) -> None:
        """librdkafka's error callback."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.down_since = self.down_since or time.monotonic()
        elif error.fatal():
            self.fatal = error
        self._latest[error.code()] = error.str()

    def reached(self) -> None:
        """Forget the outage, and what was reported of it: a broker has answered."""
        self.down_since = None
        self._latest.clear()

    def down_for(self) -> float:
        """Seconds since no broker is reachable, 0.0 while one is."""
        return 0.0 if self.down_since is None else time.monotonic() - self.down_since

    def telling(self) -> int | None:
        """The code of the report that tells best why a connection failed; None if there was none."""
        return next((code for code in TELLING_CODES if code in self._latest), None)

    def cause(self) -> str:
        """The report that tells best why a connection failed; empty if there was none."""
        code = self.telling()
        return "" if code is None else _plain(self._latest[code])


def broker_error(brokers: str, doing: str, error: KafkaException | KafkaError, cause: str = "") -> BrokerError:
    """The most specific of Lamppost's errors for one of librdkafka's, with the address in its message.

    `doing` is a noun phrase, such as "commit of a transaction"; `cause` replaces librdkafka's own reason if given.
    """
    kafka_error = _kafka_error(error)
    kind = Fenced if kafka_error.code() in FENCED_CODES else BrokerError
    advice = f"; {DENIED_ADVICE}" if kafka_error.code() in DENIED_CODES else ""
    return kind(f"Kafka at {brokers}: {doing} failed: {cause or _reason(error)}{advice}")


def is_denied(error: BrokerError) -> bool:
    """Whether it is an ACL that is missing, and not Kafka that does not answer."""
    cause = error.__cause__
    return isinstance(cause, KafkaException) and cause.args[0].code() in DENIED_CODES


def _kafka_error(error: KafkaException | KafkaError) -> KafkaError:
    return error.args[0] if isinstance(error, KafkaException) else error


def _reason(error: KafkaException | KafkaError) -> str:
    kafka_error = _kafka_error(error)
    return f"{_one_line(kafka_error.str())} ({kafka_error.name()})"


def _plain(text: str) -> str:
    """librdkafka's report without its thread and timing: `HOST/bootstrap: ... (after 3ms in state CONNECT)`."""
    return re.sub(r"^\S+(/\S+)?: |\s*\(after .*\)$", "", _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def check_reachable(client: Any, notices: Notices, brokers: str, patience: float) -> None:
    """Raise BrokerError if `client` met a fatal error, or no broker has answered for `patience` seconds.

    librdkafka says when the last connection broke and never when one came back, so a broker is asked before the
    outage is believed; that takes two seconds at most.
    """
    if notices.fatal is not None:
        raise broker_error(brokers, "connection", notices.fatal)
    if notices.down_for() <= patience:
        return
    try:
        client.list_topics(timeout=2.0)
    except KafkaException as error:
        raise broker_error(
            brokers, "connection", error, f"no answer for {notices.down_for():.0f} s; {notices.cause()}"
        ) from error
    notices.reached()
