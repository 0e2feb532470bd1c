"""What measures an elastic pool, and that nothing of it stays open."""

import pytest

from pipeline.runtime import elastic_factory as module
from pipeline.runtime.elastic_factory import ElasticFactory
from pipeline.runtime.settings import Kafka, Settings


class PlayedLag:
    """Stands in for GroupLag."""

    open = 0

    def __init__(self, *_: object, **__: object) -> None:
        PlayedLag.open += 1

    def frames(self) -> int:
        """See GroupLag."""
        return 7

    def close(self) -> None:
        """See GroupLag."""
        PlayedLag.open -= 1


def test_the_end_of_the_measuring_closes_the_connection_to_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a consumer, with threads and sockets of its own."""
    monkeypatch.setattr(module, "GroupLag", PlayedLag)
    parts = ElasticFactory(Settings(kafka=Kafka(brokers="kafka:9092")), "run")()
    assert (parts.lag(), PlayedLag.open) == (7, 1)
    parts.close()
    assert PlayedLag.open == 0
