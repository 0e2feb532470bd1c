"""Where a log ends, on brokers of which one does not know yet that it leads no more."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline.errors import BrokerError
from pipeline.streams import offsets as module
from pipeline.streams.client import Connection
from pipeline.streams.offsets import LogEnds

TOPIC = "alerts"


class Brokers:
    """Three brokers; `leads` says whom each takes for the leader of partition 0, and `ends` where its log ends."""

    def __init__(self, leads: Mapping[int, int], ends: Mapping[int, int]) -> None:
        self.leads = dict(leads)
        self.ends = ends
        self.away: set[int] = set()
        self.asked: list[int] = []
        """Who was asked for the leaders."""
        self.hears_after = 0
        """Questions for the leaders until all of them name broker 1."""

    def client(self, address: str) -> "PlayedAdmin":
        """A client that knows the one at this address."""
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
        if self._first in brokers.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        if brokers.hears_after and len(brokers.asked) > brokers.hears_after:
            brokers.leads = dict.fromkeys(brokers.leads, 1)
        partition = SimpleNamespace(leader=brokers.leads[self._first])
        return SimpleNamespace(
            topics={topic: SimpleNamespace(error=None, partitions={0: partition})},
            brokers={id_: SimpleNamespace(host=f"b{id_}", port=9092) for id_ in brokers.leads},
        )

    def list_offsets(self, request: Iterable[TopicPartition], **_: Any) -> dict[TopicPartition, Any]:
        """The end, as who is taken for the leader knows it."""
        offset = self._brokers.ends[self._brokers.leads[self._first]]
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
    """Its answer lacks what was committed since, and is asked for again until the brokers agree."""
    brokers.hears_after = 3
    ends = ends_of(brokers, first=3)
    assert ends.now([0]) == {0: 10}
    assert ends.confirmed([0]) == {0: 17}


def test_one_broker_that_agrees_is_enough(brokers: Brokers) -> None:
    """Whatever that of the past thinks, and though another is away."""
    assert ends_of(brokers, first=1).confirmed([0]) == {0: 17}
    assert brokers.asked == [1, 2]
    brokers.leads, brokers.away = {1: 1, 2: 1, 3: 1}, {2}
    assert ends_of(brokers, first=1).confirmed([0]) == {0: 17}
    assert brokers.asked[2:] == [1, 2, 3]


def test_brokers_that_never_agree_are_an_error(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that knew less than all alerts would alert again."""
    monkeypatch.setattr(module, "CONFIRM_SECONDS", 0.0)
    with pytest.raises(BrokerError, match=r"disagree .* who leads partition 0 of alerts"):
        ends_of(brokers, first=3).confirmed([0])


def test_a_kafka_of_one_is_asked_once() -> None:
    """There is nobody else who could lead."""
    brokers = Brokers({1: 1}, {1: 17})
    assert ends_of(brokers, first=1).confirmed([0]) == {0: 17}
    assert brokers.asked == [1]
