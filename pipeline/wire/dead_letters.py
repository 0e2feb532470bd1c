"""Codec of the topic ``dead-letters``, version 1: where a refused record lay and why, as JSON; never its payload.

The key is the camera id, or null if the refused record named none; headers are ``schema-version`` and ``content-type``.
"""

from typing import Any, Final

import msgspec

from pipeline.catalog.topics import DEAD_LETTERS
from pipeline.errors import InputError
from pipeline.records import DeadLetter, OutgoingRecord
from pipeline.wire.schema import CONTENT_TYPE, JSON, VERSION_HEADER, Headers, version_problem

VERSION: Final = b"1"
_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(DeadLetter)


def encode(letter: DeadLetter) -> OutgoingRecord:
    """The record of a dead letter."""
    return OutgoingRecord(
        topic=DEAD_LETTERS,
        key=None if letter.camera is None else letter.camera.encode(),
        value=_encoder.encode(letter),
        headers=((VERSION_HEADER, VERSION), (CONTENT_TYPE, JSON)),
    )


def decode(value: bytes | None, headers: Headers) -> DeadLetter:
    """The dead letter in a record; raises InputError if it is none or of another version."""
    if problem := version_problem(headers, VERSION):
        raise InputError(f"not a dead letter that can be read: {problem}")
    try:
        return _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a dead letter: {error}") from error


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a dead letter."""
    return msgspec.json.schema(DeadLetter)
