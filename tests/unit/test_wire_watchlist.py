"""The watchlist codec lets no template through that a search could not use, and names the entry that is wrong."""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import WatchlistError
from pipeline.records import OutgoingRecord, WatchlistEntry
from pipeline.wire import watchlist

D = 4
TEMPLATE: NDArray[np.float32] = np.array([0.5, -0.5, 0.5, 0.5], np.float32)
ENTRY = WatchlistEntry("p1", TEMPLATE, "case 12", "north", 1_790_000_000_000_000_000)
NOT_FINITE = [float("nan"), float("inf")]


def decode(record: OutgoingRecord, dimension: int = D) -> WatchlistEntry | watchlist.Removal | watchlist.Heartbeat:
    """What the codec reads from a record."""
    return watchlist.decode(record.key, record.value, record.headers, dimension)


def test_decodes_what_it_encoded() -> None:
    """Template, reference, list and expiry survive, under the entry's id in the only partition."""
    record = watchlist.encode(ENTRY, D)
    assert (record.topic, record.partition, record.key) == ("watchlist", 0, b"p1")
    entry = decode(record)
    assert isinstance(entry, WatchlistEntry)
    assert entry.template.dtype == np.float32
    assert entry.template.tolist() == TEMPLATE.tolist()
    assert (entry.entry, entry.reference, entry.list_id, entry.expires_ns) == (
        "p1", "case 12", "north", ENTRY.expires_ns,
    )  # fmt: skip


def test_template_is_little_endian_whatever_the_machine() -> None:
    """The bytes on the wire are the documented ones, from an array in any byte order."""
    value = msgspec.msgpack.decode(watchlist.encode(ENTRY, D).value or b"")
    assert value["template"] == bytes.fromhex("0000003f000000bf0000003f0000003f")
    assert value["dimension"] == D


def test_decoded_template_can_be_overwritten() -> None:
    """A removed template has to be destroyed in memory, so its array must not be read-only."""
    entry = decode(watchlist.encode(ENTRY, D))
    assert isinstance(entry, WatchlistEntry)
    entry.template[:] = 0


def test_null_value_removes() -> None:
    """A tombstone names the entry that goes."""
    record = watchlist.encode_removal("p1")
    assert record.value is None
    assert decode(record) == watchlist.Removal("p1")


def test_heartbeat_is_no_entry() -> None:
    """It has a value, or it would be a tombstone, and a key that no entry can have."""
    record = watchlist.encode_heartbeat()
    assert record.value is not None
    assert decode(record) == watchlist.Heartbeat()
    with pytest.raises(WatchlistError, match="unprintable"):
        watchlist.encode_removal(watchlist.HEARTBEAT_KEY.decode())


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (np.zeros(D, np.float32), r"'p1': template has length 0 instead of 1"),
        (TEMPLATE * np.float32(1.002), r"'p1': template has length 1\.002 instead of 1"),
        (TEMPLATE[:3], r"'p1': template has 3 components, the embedder makes 4"),
        (TEMPLATE.astype(np.float64), r"'p1': template is float64\[4\], not float32\[4\]"),
        (TEMPLATE.reshape(2, 2), r"'p1': template is float32\[2, 2\]"),
        (np.array([*NOT_FINITE, 0, 0], np.float32), r"'p1': .* not finite"),
        (np.full(D, 3e38, np.float32), r"'p1': template has length 6e\+38"),
    ],
)
def test_unusable_templates_are_refused(template: NDArray[np.float32], message: str) -> None:
    """The message names the entry and what is wrong with its template."""
    with pytest.raises(WatchlistError, match=message):
        watchlist.encode(WatchlistEntry("p1", template), D)


def test_rounding_of_the_norm_is_tolerated() -> None:
    """Templates normalised in lower precision are not refused."""
    watchlist.encode(WatchlistEntry("p1", TEMPLATE * np.float32(1.0009)), D)


@pytest.mark.parametrize("entry", ["", "a\0b", "a\nb", "x" * 201])
def test_ids_are_printable_and_short(entry: str) -> None:
    """An id ends up in tables, logs and alerts."""
    with pytest.raises(WatchlistError, match="id "):
        watchlist.encode(WatchlistEntry(entry, TEMPLATE), D)


@pytest.mark.parametrize(
    ("key", "value", "headers", "message"),
    [
        (None, b"", (), "id is empty"),
        (b"\xff", None, (), "not UTF-8"),
        (b"p1", b"x", (), "'p1': header schema-version is missing"),
        (b"p1", b"x", (("schema-version", b"7"),), "'p1': schema version b'7' is not 1"),
        (b"p1", b"x", (("schema-version", b"1"),), "'p1': "),
        (b"p1", b"", (("schema-version", b"1"),), "'p1': "),
    ],
)
def test_garbage_is_refused(
    key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...], message: str
) -> None:
    """A view can skip the record and say which entry it was."""
    with pytest.raises(WatchlistError, match=message):
        watchlist.decode(key, value, headers, D)


def test_template_of_another_embedder_is_refused() -> None:
    """A watchlist of 4 components cannot be searched with probes of 8."""
    with pytest.raises(WatchlistError, match="has 4 components, the embedder makes 8"):
        decode(watchlist.encode(ENTRY, D), dimension=8)


def test_bytes_must_match_the_dimension() -> None:
    """A truncated template is not padded or cut."""
    record = watchlist.encode(ENTRY, D)
    fields = msgspec.msgpack.decode(record.value or b"")
    value = msgspec.msgpack.encode({**fields, "template": fields["template"][:-1]})
    with pytest.raises(WatchlistError, match="15 bytes are no template of dimension 4"):
        watchlist.decode(record.key, value, record.headers, D)
