"""What the records of the watchlist topic leave standing, and what is shown of it."""

import numpy as np
import pytest

from pipeline.errors import InputError, SettingsError
from pipeline.records import ConsumedRecord, OutgoingRecord, WatchlistEntry
from pipeline.runtime import watchlist
from pipeline.runtime.dimensions import SHIPPED_DIMENSION as DIMENSION
from pipeline.runtime.settings import Settings
from pipeline.runtime.watchlist import Listed, expired_already, last_words
from pipeline.vision.networks import EMBEDDING
from pipeline.wire import watchlist as codec


def entry(name: str, axis: int = 0, reference: str = "", expires_ns: int | None = None) -> WatchlistEntry:
    return WatchlistEntry(name, np.eye(DIMENSION, dtype=np.float32)[axis], reference, "default", expires_ns)


def consumed(*records: OutgoingRecord) -> list[ConsumedRecord]:
    return [
        ConsumedRecord(0, offset, 0, record.key, record.value, tuple(record.headers))
        for offset, record in enumerate(records)
    ]


def test_the_dimension_is_the_shipped_embedders() -> None:
    """It is stated apart so that `watchlist show` does not wait for torch."""
    assert DIMENSION == EMBEDDING


def test_the_last_word_on_each_entry_stands() -> None:
    """Additions, replacements and removals in the topic's order; heartbeats say nothing."""
    sought = last_words(
        consumed(
            codec.encode(entry("a"), DIMENSION),
            codec.encode(entry("b"), DIMENSION),
            codec.encode_heartbeat(),
            codec.encode(entry("a", reference="new"), DIMENSION),
            codec.encode_removal("b"),
            codec.encode(entry("c"), DIMENSION),
            codec.encode_removal("c"),
            codec.encode(entry("c", axis=2), DIMENSION),
        ),
        DIMENSION,
    )
    assert {name: listed.reference for name, listed in sought.entries.items()} == {"a": "new", "c": ""}
    assert sought.entries["c"].template[2] == 1
    assert sought.refused == {}


def test_a_record_that_is_no_entry_is_told_and_can_be_replaced() -> None:
    """Shards pass it over, so `show` says that it is there."""
    garbage = OutgoingRecord("watchlist", b"a", b"garbage", ())
    sought = last_words(consumed(codec.encode(entry("a"), DIMENSION), garbage), DIMENSION)
    assert (list(sought.entries), list(sought.refused)) == ([], ["a"])
    assert "offset 1" in sought.refused["a"]
    assert last_words(consumed(garbage, codec.encode(entry("a"), DIMENSION)), DIMENSION).refused == {}


def test_a_listing_shows_ids_and_times_and_never_a_template(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorted by entry id; the expiry is in UTC."""
    records = consumed(
        codec.encode(entry("b"), DIMENSION), codec.encode(entry("a", 1, "case/9", 1_000_000_000), DIMENSION)
    )
    monkeypatch.setattr(watchlist, "read", lambda _, dimension: last_words(records, dimension))
    rows, refused = watchlist.listing(Settings.model_validate({"kafka": {"brokers": "kafka:9092"}}))
    assert rows == [Listed("a", "default", "case/9", "1970-01-01T00:00:01+00:00"), Listed("b", "default", "", "")]
    assert refused == []


def test_an_id_that_nobody_has_is_not_removed_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped id would leave the person on the watchlist."""
    monkeypatch.setattr(watchlist, "read", lambda _, d: last_words(consumed(codec.encode(entry("a"), DIMENSION)), d))
    with pytest.raises(InputError, match="'aa'"):
        watchlist.remove(Settings.model_validate({"kafka": {"brokers": "kafka:9092"}}), "aa")


def test_entries_that_have_expired_are_told_at_once() -> None:
    """How many, and which comes first in the file; entries that can still match say nothing."""
    entries = [entry("a"), entry("b", expires_ns=1_000_000_000), entry("c", expires_ns=3_000_000_000)]
    said = expired_already(entries, 2_000_000_000)
    assert said.startswith("1 entry of 3 expired before now")
    assert said.endswith("'b' at 1970-01-01T00:00:01+00:00")
    assert expired_already(entries, 4_000_000_000).startswith("2 entries of 3")
    assert expired_already(entries, 500_000_000) == ""


def test_a_watchlist_needs_a_kafka() -> None:
    """The message says how to name one."""
    with pytest.raises(SettingsError, match="--brokers HOST:PORT"):
        watchlist.listing(Settings())
