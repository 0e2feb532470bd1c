"""Codec of the topic ``custody``, version 1: one JSON object per committed batch.

The key is ``RUN/SLOT``, the run's name and the worker slot; headers are ``schema-version`` and ``content-type``.
"""

from typing import Any, Final

import msgspec

from pipeline.catalog.topics import CUSTODY
from pipeline.errors import InputError
from pipeline.records import OutgoingRecord, Receipt
from pipeline.wire.schema import CONTENT_TYPE, JSON, VERSION_HEADER, Headers, version_problem

VERSION: Final = b"1"
_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Receipt)


def encode(receipt: Receipt) -> OutgoingRecord:
    """The record of a receipt."""
    return OutgoingRecord(
        topic=CUSTODY,
        key=_key(receipt),
        value=_encoder.encode(receipt),
        headers=((VERSION_HEADER, VERSION), (CONTENT_TYPE, JSON)),
    )


def decode(key: bytes | None, value: bytes | None, headers: Headers) -> Receipt:
    """The receipt in a record; raises InputError if it is none, is of another version, or contradicts its key."""
    if problem := version_problem(headers, VERSION):
        raise InputError(f"not a receipt that can be read: {problem}")
    try:
        receipt = _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a receipt: {error}") from error
    if key != _key(receipt):
        raise InputError(f"receipt {receipt.batch} of {receipt.run}/{receipt.slot}: key {key!r} differs from the data")
    return receipt


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a receipt."""
    return msgspec.json.schema(Receipt)


def _key(receipt: Receipt) -> bytes:
    return f"{receipt.run}/{receipt.slot}".encode()
