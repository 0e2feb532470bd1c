"""Codec of the topic ``frames``, version 1.

===================  =====================================================================================
key                  camera id, UTF-8, 1 to 200 printable characters
value                one JPEG of 4 MiB at most
``schema-version``   ASCII digits; ``1``
``camera-run``       name of the producer's life, UTF-8, 1 to 200 printable characters
``sequence``         unsigned 64 bit, big endian; number of the intended capture instant in the camera run
``capture-time``     signed 64 bit, big endian; nanoseconds since the Unix epoch (UTC)
``epoch``            unsigned 64 bit, big endian; sealing epoch, 0 while sealing is off
===================  =====================================================================================

Headers of other names are ignored (tracing tools add theirs); a header that comes twice is malformed.
"""

import struct
from typing import Final

from pipeline.catalog.outcomes import DeadLetterReason
from pipeline.catalog.topics import FRAME_BYTES
from pipeline.errors import FrameError
from pipeline.records import ConsumedRecord, Frame
from pipeline.wire.schema import VERSION_HEADER, Headers, by_name, id_problem

VERSION: Final = b"1"
CAMERA_RUN: Final = "camera-run"
SEQUENCE: Final = "sequence"
CAPTURE_TIME: Final = "capture-time"
EPOCH: Final = "epoch"

EARLIEST_NS: Final = 946_684_800 * 10**9
"""2000-01-01T00:00:00Z: before it a camera's clock was plainly never set."""
LATEST_AHEAD_NS: Final = 3600 * 10**9
"""A capture time may lie this far after the append time; further on it is garbage, not a clock that is a bit fast."""

_JPEG_START: Final = b"\xff\xd8\xff"
_UNSIGNED: Final = struct.Struct(">Q")
_SIGNED: Final = struct.Struct(">q")
_VERSION_DIGITS: Final = 5

Encoded = tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]


def encode(frame: Frame) -> Encoded:
    """Key, value and headers of a frame record.

    Raises FrameError if an id or a number does not fit the layout; the JPEG is taken as it is.
    """
    for noun, text, reason in (
        ("camera id", frame.camera, DeadLetterReason.MALFORMED_KEY),
        ("camera run", frame.camera_run, DeadLetterReason.MALFORMED_HEADER),
    ):
        if problem := id_problem(text):
            raise FrameError(reason, f"{noun} {problem}")
    try:
        headers = (
            (VERSION_HEADER, VERSION),
            (CAMERA_RUN, frame.camera_run.encode()),
            (SEQUENCE, _UNSIGNED.pack(frame.sequence)),
            (CAPTURE_TIME, _SIGNED.pack(frame.capture_ns)),
            (EPOCH, _UNSIGNED.pack(frame.epoch)),
        )
    except struct.error as error:
        raise FrameError(DeadLetterReason.MALFORMED_HEADER, f"number out of range: {error}") from error
    return frame.camera.encode(), frame.jpeg, headers


def decode(record: ConsumedRecord, max_bytes: int = FRAME_BYTES) -> Frame:
    """The frame in a record of ``frames``; raises FrameError with the dead-letter reason if there is none.

    The bytes are taken for a JPEG by their first marker alone: whether they decode is found out by decoding them.
    """
    camera = _camera(record.key)
    named = _known_version(record.headers)
    camera_run = _text(named, CAMERA_RUN)
    sequence = _number(named, SEQUENCE, _UNSIGNED)
    capture_ns = _number(named, CAPTURE_TIME, _SIGNED)
    epoch = _number(named, EPOCH, _UNSIGNED)
    jpeg = _jpeg(record.value, max_bytes)
    if capture_ns < EARLIEST_NS or capture_ns > record.append_ns + LATEST_AHEAD_NS:
        raise FrameError(DeadLetterReason.IMPLAUSIBLE_TIME, f"capture time {capture_ns} ns")
    return Frame(camera, camera_run, sequence, capture_ns, jpeg, epoch)


def camera_of(record: ConsumedRecord) -> str | None:
    """The camera id in a record's key; None if it holds none: a dead letter names the camera if it can."""
    try:
        return _camera(record.key)
    except FrameError:
        return None


def _camera(key: bytes | None) -> str:
    if not key:
        raise FrameError(DeadLetterReason.MISSING_KEY)
    try:
        camera = key.decode()
    except UnicodeDecodeError as error:
        raise FrameError(DeadLetterReason.MALFORMED_KEY, "camera id is not UTF-8") from error
    if problem := id_problem(camera):
        raise FrameError(DeadLetterReason.MALFORMED_KEY, f"camera id {problem}")
    return camera


def _known_version(headers: Headers) -> dict[str, bytes | None]:
    named = by_name(headers)
    if named is None:
        raise FrameError(DeadLetterReason.MALFORMED_HEADER, "a header comes twice")
    version = _present(named, VERSION_HEADER)
    if version != VERSION:
        if len(version) <= _VERSION_DIGITS and version.isdigit():
            raise FrameError(DeadLetterReason.UNKNOWN_VERSION, version.decode())
        raise FrameError(DeadLetterReason.MALFORMED_HEADER, VERSION_HEADER)
    return named


def _present(named: dict[str, bytes | None], name: str) -> bytes:
    value = named.get(name)
    if value is not None:
        return value
    if name in named:
        raise FrameError(DeadLetterReason.MALFORMED_HEADER, f"{name} is null")
    raise FrameError(DeadLetterReason.MISSING_HEADER, name)


def _text(named: dict[str, bytes | None], name: str) -> str:
    try:
        text = _present(named, name).decode()
    except UnicodeDecodeError as error:
        raise FrameError(DeadLetterReason.MALFORMED_HEADER, f"{name} is not UTF-8") from error
    if problem := id_problem(text):
        raise FrameError(DeadLetterReason.MALFORMED_HEADER, f"{name} {problem}")
    return text


def _number(named: dict[str, bytes | None], name: str, layout: struct.Struct) -> int:
    value = _present(named, name)
    if len(value) != layout.size:
        raise FrameError(DeadLetterReason.MALFORMED_HEADER, f"{name} has {len(value)} bytes instead of {layout.size}")
    number: int = layout.unpack(value)[0]
    return number


def _jpeg(value: bytes | None, max_bytes: int) -> bytes:
    if not value:
        raise FrameError(DeadLetterReason.EMPTY)
    if len(value) > max_bytes:
        raise FrameError(DeadLetterReason.TOO_LARGE, f"{len(value)} bytes, the limit is {max_bytes}")
    if not value.startswith(_JPEG_START):
        raise FrameError(DeadLetterReason.NOT_A_JPEG)
    return value
