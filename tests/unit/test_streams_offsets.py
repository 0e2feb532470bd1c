"""Where a log ends, on brokers of which one does not know yet that it leads no more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from pipeline.errors import BrokerError
from pipeline.streams import offsets as module
from pipeline.streams.client import Connection
from pipeline.streams.offsets import LogEnds

TOPIC = "alerts"


class Brokers:
    """Three brokers; `leads` says whom each takes for the leader of partition 0, and `ends` where its log ends.

    The log of each holds one record that is not too old, its last.
    """

    def __init__(self, leads: Mapping[int, int], ends: Mapping[int, int]) -> None:
        self.leads = dict(leads)
        self.ends = ends
        self.away: set[int] = set()
        self.asked: list[int] = []
        """Who was asked for the leaders."""
        self.turns = cycle(leads)
        """Whom clients ask first that know all of them."""
        self.hears_after = 0
        """Questions for the leaders until all of them name broker 1."""
        self.denied: set[int] = set()
        """Who answers that no ACL allows it."""
        self.stand_ins: dict[int, int] = {}
        """Who answers in the place of another, as the client of one comes to know them all."""
        self.clients = 0

    def client(self, address: str) -> "PlayedAdmin":
        """A client that knows the one at this address, or by "any" the next one whenever it is made anew."""
        self.clients += 1
        if address == "any":
            return PlayedAdmin(self, next(self.turns))
        return PlayedAdmin(self, int(address.removeprefix("b").partition(":")[0]))


class PlayedAdmin:
    """What librdkafka's admin client does of this: the leaders are asked of one broker, offsets of the leader."""

    def __init__(self, brokers: Brokers, first: int) -> None:
        self._brokers = brokers
        self._first = first

    def list_topics(self, topic: str, timeout: float) -> Any:
        """The leaders, as the first broker knows them."""
        brokers = self._brokers
        brokers.asked.append(self._first)
        answering = brokers.stand_ins.get(self._first, self._first)
        if self._first in brokers.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        if brokers.hears_after and len(brokers.asked) > brokers.hears_after:
            brokers.leads = dict.fromkeys(brokers.leads, 1)
        error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED) if self._first in brokers.denied else None
        partition = SimpleNamespace(leader=brokers.leads[answering])
        return SimpleNamespace(
            orig_broker_id=answering,
            topics={topic: SimpleNamespace(error=error, partitions={0: partition})},
            brokers={id_: SimpleNamespace(host=f"b{id_}", port=9092) for id_ in brokers.leads},
        )

    def poll(self, timeout: float) -> None:
        """Nothing is reported."""

    def list_offsets(self, request: Mapping[TopicPartition, OffsetSpec], **_: Any) -> dict[TopicPartition, Any]:
        """The end or the last record, as who is taken for the leader knows it."""
        offset = self._brokers.ends[self._brokers.leads[self._first]]
        if {spec._value for spec in request.values()} != {OffsetSpec.latest()._value}:
            offset -= 1
        return {each: SimpleNamespace(result=lambda: SimpleNamespace(offset=offset)) for each in request}


@dataclass(frozen=True, slots=True)
class PlayedConnection(Connection):
    """A connection to them."""

    cluster: Any = field(default=None)

    def open(self, make: Callable[..., Any], *_: Any) -> Any:
        """A client."""
        return self.cluster.client(self.brokers)


def ends_of(brokers: Brokers, first: int) -> LogEnds:
    """Log ends whose client asks broker `first` for the leaders."""
    return LogEnds(PlayedConnection(f"b{first}:9092", cluster=brokers), TOPIC)


@pytest.fixture
def brokers() -> Brokers:
    """Broker 1 leads, and 3 does not know yet that it does so no more."""
    return Brokers({1: 1, 2: 1, 3: 3}, {1: 17, 3: 10})


def test_a_leader_of_the_past_is_not_believed(brokers: Brokers) -> None:
    """Its answers lack what was committed since, and are asked for again until the brokers agree."""
    brokers.hears_after = 4
    ends = ends_of(brokers, first=3)
    assert ends.now([0]) == {0: 10}
    assert ends.confirmed_since([0], 1) == {0: (16, 17)}


def test_a_leader_that_changes_while_it_is_asked_is_asked_again(brokers: Brokers) -> None:
    """Another broker may name the next one by the time that it is asked, which answered nothing of this."""
    brokers.hears_after = 1
    ends = ends_of(brokers, first=3)
    assert ends.confirmed_since([0], 1) == {0: (16, 17)}
    assert brokers.asked[:4] == [3, 3, 3, 3], "before and after, and both again"


def test_one_broker_that_agrees_is_enough(brokers: Brokers) -> None:
    """Whatever that of the past thinks, and though another is away."""
    assert ends_of(brokers, first=1).confirmed_since([0], 1) == {0: (16, 17)}
    assert brokers.asked == [1, 1, 2]
    brokers.leads, brokers.away = {1: 1, 2: 1, 3: 1}, {2}
    assert ends_of(brokers, first=1).confirmed_since([0], 1) == {0: (16, 17)}
    assert brokers.asked[3:] == [1, 1, 2, 3]


def test_brokers_that_never_agree_are_an_error(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that knew less than all alerts would alert again."""
    monkeypatch.setattr(module, "CONFIRM_SECONDS", 0.0)
    with pytest.raises(BrokerError, match=r"brokers disagree on who leads partition 0 of alerts"):
        ends_of(brokers, first=3).confirmed_since([0], 1)


def test_each_broker_keeps_its_client_while_they_disagree(brokers: Brokers) -> None:
    """Each client is a handful of threads and connections."""
    brokers.hears_after = 20
    assert ends_of(brokers, first=3).confirmed_since([0], 1) == {0: (16, 17)}
    assert brokers.clients == 3


def test_that_no_other_broker_answered_is_said(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no disagreement, and another remedy."""
    monkeypatch.setattr(module, "CONFIRM_SECONDS", 0.0)
    brokers.away = {2, 3}
    with pytest.raises(BrokerError, match=r"no other broker says who leads .* \(Kafka at b3:9092: asking for alerts"):
        ends_of(brokers, first=1).confirmed_since([0], 1)


def test_what_another_broker_says_in_its_place_counts_for_nothing(
    brokers: Brokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the one in doubt that confirms itself."""
    monkeypatch.setattr(module, "CONFIRM_SECONDS", 0.0)
    brokers.stand_ins = {1: 3, 2: 3}
    with pytest.raises(BrokerError, match=r"brokers disagree on who leads partition 0 of alerts"):
        ends_of(brokers, first=3).confirmed_since([0], 1)


def test_an_acl_that_is_missing_is_said_at_once(brokers: Brokers) -> None:
    """Waiting for another answer would be in vain."""
    brokers.denied = {2}
    with pytest.raises(BrokerError, match=r"asking for alerts failed: .*no ACL allows this user"):
        ends_of(brokers, first=1).confirmed_since([0], 1)
    assert brokers.asked == [1, 1, 2]


def test_a_broker_that_does_not_answer_is_left_for_another(brokers: Brokers) -> None:
    """By a client made anew: the one that there was would ask it again."""
    brokers.away = {1}
    ends = LogEnds(PlayedConnection("any", cluster=brokers), TOPIC)
    assert list(ends.partitions()) == [0]
    assert brokers.asked == [1, 2]


def test_brokers_none_of_which_answers_are_an_error(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, and with the address."""
    monkeypatch.setattr(module, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    brokers.away = {1, 2, 3}
    with pytest.raises(BrokerError, match="Kafka at any: connection failed"):
        LogEnds(PlayedConnection("any", cluster=brokers), TOPIC).partitions()
    assert {1, 2, 3} <= set(brokers.asked)


def test_a_kafka_of_one_has_nobody_to_disagree() -> None:
    """There is nobody else who could lead."""
    brokers = Brokers({1: 1}, {1: 17})
    assert ends_of(brokers, first=1).confirmed_since([0], 1) == {0: (16, 17)}
    assert brokers.asked == [1, 1]
