"""librdkafka's errors come out as Lamppost's own, in one line with the address."""

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException

from pipeline.errors import BrokerError, Fenced, SettingsError
from pipeline.streams.client import (
    DENIED_ADVICE,
    DENIED_CODES,
    Connection,
    Notices,
    broker_error,
    check_reachable,
)
from pipeline.streams.probe import CONSUMER_GROUP_HEARTBEAT, PRODUCE, BrokerInfo, diagnosis


def info(newest_produce: int, *, consumer_protocol: bool) -> BrokerInfo:
    """A broker with these API versions."""
    apis = {PRODUCE: (0, newest_produce)} | ({CONSUMER_GROUP_HEARTBEAT: (0, 1)} if consumer_protocol else {})
    return BrokerInfo("kafka:9092", "id", 1, apis)


@pytest.mark.parametrize("code", [KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH])
def test_a_successor_is_told_apart_from_other_failures(code: int) -> None:
    """Fenced ends the process for good; any other broker error may be tried again."""
    assert type(broker_error("a:1", "commit", KafkaError(code))) is Fenced
    assert type(broker_error("a:1", "commit", KafkaError(KafkaError._TRANSPORT))) is BrokerError


def test_a_message_is_one_line_with_the_address_and_the_cause() -> None:
    """Whatever line breaks librdkafka's reason has."""
    error = broker_error("a:1,b:2", "commit", KafkaException(KafkaError(KafkaError._TRANSPORT, "went\n away")))
    assert str(error) == "Kafka at a:1,b:2: commit failed: went away (_TRANSPORT)"


def test_the_cause_of_a_failed_connection_is_the_one_that_tells_most() -> None:
    """A refused password explains more than the connection that it closed."""
    notices = Notices()
    notices.note(KafkaError(KafkaError._TRANSPORT, "a:1/bootstrap: Disconnected (after 3ms in state AUTH)"))
    assert notices.cause() == "Disconnected"
    notices.note(KafkaError(KafkaError._AUTHENTICATION, "sasl_ssl://a:1/bootstrap: SASL authentication error: wrong"))
    assert notices.cause() == "SASL authentication error: wrong"


def test_an_outage_that_is_over_is_no_cause_of_the_next() -> None:
    """A password that was refused once would be blamed for ever."""
    notices = Notices()
    notices.note(KafkaError(KafkaError._AUTHENTICATION, "wrong"))
    notices.reached()
    assert (notices.cause(), notices.telling()) == ("", None)
    notices.note(KafkaError(KafkaError._TRANSPORT, "Disconnected"))
    assert notices.cause() == "Disconnected"


def test_a_property_that_librdkafka_does_not_know_is_a_wrong_setting() -> None:
    """The message names it."""
    with pytest.raises(SettingsError, match=r'No such configuration property: "no\.such"'):
        Connection("a:1", {"no.such": "x"}).open(Consumer, Notices(), {"group.id": "g"})


@pytest.mark.parametrize(
    ("property", "setting"),
    [("ssl.ca.location", "kafka.security.ca_file"), ("ssl.certificate.location", "kafka.security.certificate_file")],
)
def test_a_file_that_librdkafka_cannot_use_is_told_by_its_setting(property: str, setting: str) -> None:
    """The user has written the setting, and never heard of the property."""
    with pytest.raises(SettingsError, match=f"{property} failed.*; correct {setting}$"):
        Connection("a:1", {"security.protocol": "ssl", property: "/no/such"}).open(
            Consumer, Notices(), {"group.id": "g"}
        )


def test_secrets_of_a_connection_are_not_printed() -> None:
    """Where an object stands in a log or in an assertion."""
    assert "hush" not in repr(Connection("a:1", {"sasl.password": "hush"}))


@pytest.mark.parametrize("code", sorted(DENIED_CODES))
def test_a_request_that_no_acl_allows_says_what_makes_them(code: int) -> None:
    """It is no fault of Kafka, and trying again helps nobody."""
    assert str(broker_error("a:1", "reading", KafkaError(code))).endswith(DENIED_ADVICE)


@pytest.mark.parametrize(
    ("code", "report", "named"),
    [
        (KafkaError._AUTHENTICATION, "SASL authentication error: no", "kafka.security.password_file"),
        (KafkaError._SSL, "certificate verify failed", "kafka.security.ca_file"),
        (KafkaError._TRANSPORT, "SSL handshake failed: SSL connection closed by peer", "kafka.security.protocol"),
        (KafkaError._TRANSPORT, "Connect to a:1 failed: Connection refused", "kafka.brokers"),
        (KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down", "kafka.security.protocol"),
        (None, "", "no answer within 5 s"),
    ],
)
def test_a_failed_connection_names_the_setting_that_it_speaks_of(code: int | None, report: str, named: str) -> None:
    """A broker that hangs up without a word speaks another protocol."""
    notices = Notices()
    if code is not None:
        notices.note(KafkaError(code, report))
    assert named in diagnosis(notices, 5.0)


def test_an_outage_is_believed_only_when_a_broker_asked_does_not_answer() -> None:
    """librdkafka says when the last connection broke, never when one came back."""

    class Back:
        def list_topics(self, timeout: float) -> None:
            del timeout

    class Away:
        def list_topics(self, timeout: float) -> None:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, "no"))

    notices = Notices()
    check_reachable(Away(), notices, "a:1", patience=0.0)
    notices.note(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    check_reachable(Away(), notices, "a:1", patience=60.0)
    with pytest.raises(BrokerError, match="Kafka at a:1"):
        check_reachable(Away(), notices, "a:1", patience=0.0)
    check_reachable(Back(), notices, "a:1", patience=0.0)
    assert notices.down_since is None


@pytest.mark.parametrize(("produce", "release"), [(13, "4.1"), (14, "4.1"), (12, "4.0"), (10, "3.7"), (9, None)])
def test_the_release_follows_from_the_api_versions(produce: int, release: str | None) -> None:
    """The newest release whose versions the broker speaks; it may be a later one."""
    assert info(produce, consumer_protocol=True).release == release


def test_a_broker_that_is_too_old_is_refused_in_one_line() -> None:
    """With its address and what to use."""
    with pytest.raises(BrokerError, match=r"^Kafka at kafka:9092 is older than 3\.7; use 3\.7 or newer$"):
        info(9, consumer_protocol=False).require("classic")


def test_the_group_protocol_is_asked_of_the_broker() -> None:
    """`classic` serves a broker without the newer one."""
    old = info(11, consumer_protocol=False)
    old.require("classic")
    with pytest.raises(BrokerError, match=r"set kafka\.group_protocol to classic"):
        old.require("consumer")
    info(13, consumer_protocol=True).require("consumer")
