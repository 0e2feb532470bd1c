"""The Kafka outbox on a client that the test plays: what is tried again, rolled back, or the end."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.errors import BrokerError, Fenced, TransactionAborted
from pipeline.records import OutgoingRecord
from pipeline.streams.client import Connection
from pipeline.streams.outbox import KafkaOutbox

RETRIABLE = KafkaError(KafkaError._TIMED_OUT, "slow", retriable=True)
ABORTABLE = KafkaError(KafkaError.ILLEGAL_GENERATION, "another generation", txn_requires_abort=True)
FENCED = KafkaError(KafkaError._FENCED, "fenced", fatal=True)
REFUSED = KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "not allowed")


class PlayedProducer:
    """Stands in for confluent-kafka's producer: `failures` are raised by the named call, one after the other."""

    def __init__(self, **failures: list[KafkaError]) -> None:
        self.failures = failures
        self.calls: list[str] = []
        self.properties: dict[str, Any] = {}

    def _play(self, call: str) -> None:
        self.calls.append(call)
        if self.failures.get(call):
            raise KafkaException(self.failures[call].pop(0))

    def init_transactions(self, _: float) -> None:
        self._play("init")

    def begin_transaction(self) -> None:
        self._play("begin")

    def produce(self, *_: Any, on_delivery: Callable[[KafkaError | None, Any], None], headers: Any) -> None:
        self._play("produce")

    def send_offsets_to_transaction(self, _: Any, __: Any, ___: float) -> None:
        self._play("offsets")

    def commit_transaction(self, _: float) -> None:
        self._play("commit")

    def abort_transaction(self, _: float) -> None:
        self._play("abort")

    def poll(self, _: float) -> int:
        return 0


def outbox(producer: PlayedProducer, deadline: float = 5.0, transaction_timeout: float = 10.0) -> KafkaOutbox:
    """An outbox on the played producer."""

    def open_producer(properties: dict[str, Any], **_: Any) -> PlayedProducer:
        producer.properties = properties
        return producer

    return KafkaOutbox(
        Connection("a:1"),
        topic="f",
        transactional_id="w",
        transaction_timeout=transaction_timeout,
        deadline=deadline,
        open_producer=open_producer,
    )


def commit(box: KafkaOutbox) -> None:
    """One record and one offset."""
    box.commit([OutgoingRecord("alerts", b"c", b"a")], {0: 1}, b"membership")


def test_a_transaction_is_made_in_order() -> None:
    """Offsets go in before the commit, and nothing is aborted."""
    producer = PlayedProducer()
    commit(outbox(producer))
    assert producer.calls == ["init", "begin", "produce", "offsets", "commit"]


def test_the_settings_that_the_measurements_ask_for() -> None:
    """A dead worker holds up readers for 10 s at most, and a transaction does not wait 100 ms for the last one."""
    producer = PlayedProducer()
    outbox(producer)
    assert producer.properties["transaction.timeout.ms"] <= 10_000
    assert producer.properties["retry.backoff.ms"] == 5


def test_a_broker_that_stands_still_can_hold_up_each_request_of_a_transaction_and_it_still_ends_in_time() -> None:
    """Those to the transaction's coordinator, the group's coordinator, a leader, and the end of it."""
    for timeout in (10.0, 2.0):
        producer = PlayedProducer()
        outbox(producer, transaction_timeout=timeout)
        assert 4 * producer.properties["socket.timeout.ms"] <= producer.properties["transaction.timeout.ms"]


def test_a_coordinator_is_forgotten_before_a_broker_can_be_missing_and_leaders_never_are() -> None:
    """3 s is the shortest time after which Kafka misses one."""
    producer = PlayedProducer()
    outbox(producer)
    age = producer.properties["metadata.max.age.ms"]
    assert age + 1000 < 3000, "looked at once a second"
    assert 2 * producer.properties["topic.metadata.refresh.interval.ms"] < age


@pytest.mark.parametrize("call", ["init", "offsets", "commit"])
def test_what_may_pass_is_tried_again(call: str) -> None:
    """The call itself, not the whole transaction."""
    producer = PlayedProducer(**{call: [RETRIABLE, RETRIABLE]})
    commit(outbox(producer))
    assert producer.calls.count(call) == 3
    assert producer.calls.count("begin") == 1


@pytest.mark.parametrize("call", ["produce", "offsets", "commit"])
def test_what_has_to_be_rolled_back_is_aborted(call: str) -> None:
    """The outbox goes on with the next transaction."""
    producer = PlayedProducer(**{call: [ABORTABLE]}, abort=[RETRIABLE])
    box = outbox(producer)
    with pytest.raises(TransactionAborted, match="Kafka at a:1: a transaction was rolled back: another generation"):
        commit(box)
    assert producer.calls[-2:] == ["abort", "abort"]
    commit(box)
    assert producer.calls[-1] == "commit"


@pytest.mark.parametrize("call", ["begin", "produce", "offsets", "commit"])
def test_a_fenced_producer_ends_without_an_abort(call: str) -> None:
    """Its transaction is its successor's matter, also when it is closed."""
    producer = PlayedProducer(**{call: [FENCED]})
    box = outbox(producer)
    with pytest.raises(Fenced):
        commit(box)
    box.close()
    assert "abort" not in producer.calls


def test_a_transaction_that_kafka_timed_out_is_no_sign_of_a_rival() -> None:
    """Its producer is fenced as well, but by nobody: whoever stood still for so long may be replaced."""
    producer = PlayedProducer(commit=[FENCED])
    box = outbox(producer, transaction_timeout=0.0)
    with pytest.raises(BrokerError, match="it was open for 0 s, and Kafka ends it after 0 s") as told:
        commit(box)
    assert not isinstance(told.value, Fenced)
    box.close()
    assert "abort" not in producer.calls


def test_a_refusal_is_the_end() -> None:
    """Neither tried again nor rolled back; closing aborts what was open."""
    producer = PlayedProducer(commit=[REFUSED])
    box = outbox(producer)
    with pytest.raises(BrokerError, match="not allowed"):
        commit(box)
    assert producer.calls.count("commit") == 1
    box.close()
    assert producer.calls[-1] == "abort"


def test_an_error_that_does_not_pass_before_the_deadline_is_the_end() -> None:
    """It is not tried for ever."""
    producer = PlayedProducer(commit=[RETRIABLE] * 3)
    with pytest.raises(BrokerError, match="slow"):
        commit(outbox(producer, deadline=0.0))


def test_all_of_a_commit_has_one_deadline() -> None:
    """Not each of its calls: Kafka ends the transaction meanwhile."""
    given: list[float] = []

    class Slow(PlayedProducer):
        def send_offsets_to_transaction(self, _: Any, __: Any, timeout: float) -> None:
            given.append(timeout)
            time.sleep(0.05)

        def commit_transaction(self, timeout: float) -> None:
            given.append(timeout)

    commit(outbox(Slow(), deadline=5.0))
    assert given[1] <= given[0] - 0.05 <= 4.95


def test_a_fenced_successor_cannot_be_made() -> None:
    """The constructor says so."""
    with pytest.raises(Fenced):
        outbox(PlayedProducer(init=[FENCED]))
