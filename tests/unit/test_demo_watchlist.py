"""The demo's people on a watchlist that was there before."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.catalog.topics import WATCHLIST
from pipeline.errors import BrokerError
from pipeline.records import OutgoingRecord, WatchlistEntry
from pipeline.runtime import demo_watchlist
from pipeline.runtime.demo_watchlist import DemoWatchlist
from pipeline.streams.client import Connection

PEOPLE = [WatchlistEntry(f"p{number}", np.eye(128, dtype=np.float32)[number]) for number in range(3)]


class Topic:
    """Stands in for the writer and remembers what is on the topic, which holds 40 records of others at first."""

    def __init__(self) -> None:
        self.records: list[OutgoingRecord] = []
        self.refuses = False

    def __call__(self, connection: Connection, delivery_timeout: float = 10.0) -> "Topic":
        """Open a writer."""
        return self

    def write(self, records: Sequence[OutgoingRecord]) -> dict[tuple[str, int], int]:
        """Take records, unless the broker is away."""
        if self.refuses:
            raise BrokerError("Kafka at kafka:9092 is away")
        self.records += records
        return {(WATCHLIST, 0): 39 + len(self.records)}

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    """The watchlist topic."""
    made = Topic()
    monkeypatch.setattr(demo_watchlist, "RecordWriter", made)
    return made


def shards(*versions: int) -> SimpleNamespace:
    """A run whose shards have applied the topic up to these offsets, and hold 200 entries of others."""
    return SimpleNamespace(
        shards=[SimpleNamespace(name=f"shard-{n}", version=version, entries=200) for n, version in enumerate(versions)]
    )


def test_every_shard_is_awaited_until_it_has_the_last_entry(topic: Topic) -> None:
    """However many entries there were before: a number of entries would be reached too early."""
    watchlist = DemoWatchlist(Connection("kafka:9092"))
    assert watchlist.awaited(shards(39, 39)) == {}  # type: ignore[arg-type]  # what is looked at of a status
    watchlist.publish(PEOPLE)
    assert watchlist.published
    assert watchlist.awaited(shards(42, 41)) == {"watchlist on shard-1": "version 41 of 42"}  # type: ignore[arg-type]  # as above
    assert watchlist.awaited(shards(42, 43)) == {}  # type: ignore[arg-type]  # as above


def test_everybody_is_taken_off_again_once(topic: Topic) -> None:
    """A removal each, which deletes the template when the topic is compacted."""
    watchlist = DemoWatchlist(Connection("kafka:9092"))
    watchlist.withdraw()
    watchlist.publish(PEOPLE)
    watchlist.withdraw()
    watchlist.withdraw()
    assert [(record.key, record.value) for record in topic.records[3:]] == [(b"p0", None), (b"p1", None), (b"p2", None)]


def test_templates_that_cannot_be_removed_are_said(topic: Topic) -> None:
    """With their number and how they are removed; this must not go unnoticed."""
    watchlist = DemoWatchlist(Connection("kafka:9092"))
    watchlist.publish(PEOPLE)
    topic.refuses = True
    with pytest.raises(BrokerError, match=r"3 templates .* may still be on the watchlist.*away.*watchlist remove"):
        watchlist.withdraw()
