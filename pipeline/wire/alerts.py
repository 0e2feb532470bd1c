"""Codec of the topic ``alerts``, version 1: CloudEvents 1.0 in Kafka binary mode.

The value is the alert's data as JSON (`json_schema` describes it), the key its camera id, and the record goes to the
partition that the frame lay in, so that whoever takes the partition over finds its alerts in one place. The attributes
of the event are headers: ``ce_specversion``, ``ce_id`` (the alert's id), ``ce_source`` (``/lamppost/RUN/SLOT``, percent
encoded), ``ce_type``, ``ce_time`` (when it was decided, RFC 3339), ``ce_subject`` (camera id), ``ce_dataschema`` (names
the version of the data) and ``content-type``. Instants in the data are integers of nanoseconds, which need 61 bits.
"""

from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from pipeline.catalog.topics import ALERTS
from pipeline.errors import InputError
from pipeline.records import Alert, OutgoingRecord
from pipeline.wire.schema import CONTENT_TYPE, JSON, Headers, by_name

SPECVERSION: Final = b"1.0"
TYPE: Final = b"lamppost.alert"
DATA_SCHEMA: Final = b"urn:lamppost:alert:1"

Data = TypeVar("Data")

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Alert)


class _CooldownFields(msgspec.Struct):
    camera: str
    entry: str
    cooldown_ns: int


_cooldown_decoder: Final = msgspec.json.Decoder(_CooldownFields)


def encode(alert: Alert) -> OutgoingRecord:
    """The record of an alert; raises InputError if a number of it is not finite, which JSON cannot say."""
    if not all(map(isfinite, (alert.score, alert.threshold, alert.fraction_searched, *alert.box))):
        raise InputError(f"alert {alert.id}: a score or a box is not finite")
    source = f"/lamppost/{quote(alert.run, safe='')}/{alert.slot}"
    return OutgoingRecord(
        topic=ALERTS,
        key=alert.camera.encode(),
        value=_encoder.encode(alert),
        headers=(
            ("ce_specversion", SPECVERSION),
            ("ce_id", alert.id.encode()),
            ("ce_source", source.encode()),
            ("ce_type", TYPE),
            ("ce_time", rfc3339(alert.decided_ns).encode()),
            ("ce_subject", alert.camera.encode()),
            ("ce_dataschema", DATA_SCHEMA),
            (CONTENT_TYPE, JSON),
        ),
        partition=alert.frame_partition,
    )


def decode(key: bytes | None, value: bytes | None, headers: Headers) -> Alert:
    """The alert in a record; raises InputError if it is none, is of another version, or contradicts itself."""
    alert = _data(_decoder, value, headers)
    named = dict(headers)
    if named.get("ce_id") != alert.id.encode() or key != alert.camera.encode():
        raise InputError(f"alert {alert.id}: ce_id or key differs from the data")
    return alert


def cooldown_key(value: bytes | None, headers: Headers) -> tuple[str, str, int]:
    """(camera, entry, cooldown_ns) of an alert record, without the rest; raises InputError like `decode`."""
    fields = _data(_cooldown_decoder, value, headers)
    return fields.camera, fields.entry, fields.cooldown_ns


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the data of an alert."""
    return msgspec.json.schema(Alert)


def rfc3339(instant_ns: int) -> str:
    """An instant in ns since the Unix epoch as RFC 3339 in UTC, cut off to microseconds."""
    seconds, rest_ns = divmod(instant_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06d}Z"


def _data(decoder: msgspec.json.Decoder[Data], value: bytes | None, headers: Headers) -> Data:
    named = by_name(headers)
    if named is None:
        raise InputError("not an alert: a header comes twice")
    for name, expected in (("ce_specversion", SPECVERSION), ("ce_type", TYPE), ("ce_dataschema", DATA_SCHEMA)):
        if named.get(name) != expected:
            raise InputError(f"not an alert that can be read: header {name} is {named.get(name)!r}, not {expected!r}")
    try:
        return decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not an alert: {error}") from error
