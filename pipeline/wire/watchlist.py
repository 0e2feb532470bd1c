"""Codec of the topic ``watchlist``, version 1.

The key is the entry id. The value is a MessagePack map: ``template`` (float32, little endian, as bytes),
``dimension``, ``reference``, ``list_id`` and ``expires_ns`` (or nil); a null value removes the entry. The header is
``schema-version``; a removal needs none. The key ``\\0heartbeat`` is no entry: it is written every 30 s,
since an idle topic is never compacted, and an uncompacted topic still holds the templates that were removed from it.
"""

from typing import Final

import msgspec
import numpy as np

from pipeline.catalog.topics import WATCHLIST
from pipeline.errors import WatchlistError
from pipeline.records import OutgoingRecord, WatchlistEntry
from pipeline.wire.schema import VERSION_HEADER, Headers, id_problem, version_problem

VERSION: Final = b"1"
HEARTBEAT_KEY: Final = b"\0heartbeat"
HEARTBEAT_SECONDS: Final = 30.0
REFERENCE_LENGTH: Final = 1000
"""Characters; a reference travels with every search result, inline between actors."""
NORM_TOLERANCE: Final = 1e-3
"""A template's length may differ from 1 by this much; it is taken as it is."""

_HEADERS: Final = ((VERSION_HEADER, VERSION),)
_LITTLE_ENDIAN: Final = np.dtype("<f4")


class Removal(msgspec.Struct, frozen=True):
    """An entry was taken off the watchlist."""

    entry: str


class Heartbeat(msgspec.Struct, frozen=True):
    """Nothing but a reason for the broker to compact; views skip it."""


class _Value(msgspec.Struct):
    template: memoryview
    """Of the record's own bytes: a template is copied no more often than it has to be."""
    dimension: int
    reference: str
    list_id: str
    expires_ns: int | None


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Value)


def encode(entry: WatchlistEntry, dimension: int) -> OutgoingRecord:
    """The record that adds or replaces an entry; raises WatchlistError like `check`."""
    check(entry, dimension)
    value = _Value(
        template=memoryview(entry.template.astype(_LITTLE_ENDIAN).tobytes()),
        dimension=dimension,
        reference=entry.reference,
        list_id=entry.list_id,
        expires_ns=entry.expires_ns,
    )
    return OutgoingRecord(WATCHLIST, entry.entry.encode(), _encoder.encode(value), _HEADERS, partition=0)


def encode_removal(entry: str) -> OutgoingRecord:
    """The record that takes an entry off the watchlist; raises WatchlistError if `entry` is no id."""
    _check_id(entry)
    return OutgoingRecord(WATCHLIST, entry.encode(), None, (), partition=0)


def encode_heartbeat() -> OutgoingRecord:
    """The record to write every `HEARTBEAT_SECONDS`."""
    return OutgoingRecord(WATCHLIST, HEARTBEAT_KEY, b"", _HEADERS, partition=0)


def decode(
    key: bytes | None, value: bytes | None, headers: Headers, dimension: int
) -> WatchlistEntry | Removal | Heartbeat:
    """What a record of the topic says; raises WatchlistError naming the entry and what is wrong with it.

    The template is checked as `check` does and owns its memory, so that it can be overwritten.
    """
    if key == HEARTBEAT_KEY:
        return Heartbeat()
    try:
        name = (key or b"").decode()
    except UnicodeDecodeError as error:
        raise WatchlistError(f"watchlist entry {key!r}: id is not UTF-8") from error
    _check_id(name)
    if value is None:
        return Removal(name)
    if problem := version_problem(headers, VERSION):
        raise WatchlistError(f"watchlist entry {name!r}: {problem}")
    try:
        fields = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WatchlistError(f"watchlist entry {name!r}: {error}") from error
    if len(fields.template) != fields.dimension * _LITTLE_ENDIAN.itemsize:
        raise WatchlistError(
            f"watchlist entry {name!r}: {len(fields.template)} bytes are no template of dimension {fields.dimension}"
        )
    template = np.frombuffer(fields.template, _LITTLE_ENDIAN).astype(np.float32)
    entry = WatchlistEntry(name, template, fields.reference, fields.list_id, fields.expires_ns)
    check(entry, dimension)
    return entry


def dimension_in(value: bytes | None) -> int | None:
    """The components of the template in a record's value, unchecked; None if it holds no entry."""
    if not value:
        return None
    try:
        return _decoder.decode(value).dimension
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def check(entry: WatchlistEntry, dimension: int) -> None:
    """Raise WatchlistError unless the entry can be searched.

    Its id has 1 to 200 printable characters, its reference at most `REFERENCE_LENGTH`; its template is
    float32[`dimension`], finite, and of length 1 within `NORM_TOLERANCE`.
    """
    _check_id(entry.entry)
    if len(entry.reference) > REFERENCE_LENGTH:
        raise WatchlistError(
            f"watchlist entry {entry.entry!r}: reference has {len(entry.reference)} characters, "
            f"at most {REFERENCE_LENGTH} are kept; it should point to a record, not hold one"
        )
    template = entry.template
    if template.dtype != np.float32 or template.ndim != 1:
        raise WatchlistError(
            f"watchlist entry {entry.entry!r}: template is {template.dtype}{list(template.shape)}, "
            f"not float32[{dimension}]"
        )
    if len(template) != dimension:
        raise WatchlistError(
            f"watchlist entry {entry.entry!r}: template has {len(template)} components, the embedder makes {dimension}"
        )
    norm = float(np.linalg.norm(template.astype(np.float64)))
    if not np.isfinite(norm):
        raise WatchlistError(f"watchlist entry {entry.entry!r}: template holds a number that is not finite")
    if abs(norm - 1) > NORM_TOLERANCE:
        raise WatchlistError(
            f"watchlist entry {entry.entry!r}: template has length {norm:.4g} instead of 1; normalise it first"
        )


def _check_id(entry: str) -> None:
    if problem := id_problem(entry):
        raise WatchlistError(f"watchlist entry {entry[:40]!r}: id {problem}")
