"""Ways to spoil a frame record: in a known way, with the reason that its dead letter has to give, or at random."""

import struct
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from pipeline.catalog.outcomes import DeadLetterReason
from pipeline.catalog.topics import FRAME_BYTES
from pipeline.wire.frames import CAMERA_RUN, CAPTURE_TIME, EPOCH, SEQUENCE
from pipeline.wire.schema import VERSION_HEADER

HOUR_NS: Final = 3600 * 10**9
LAST_INSTANT: Final = struct.pack(">q", (1 << 63) - 1)
MOST_FLIPS: Final = 40
_FRAME_HEADER: Final = b"\xff\xc0"
"""The marker of a baseline JPEG's frame header; height and width lie 5 to 8 bytes after it."""


class Spoilt(NamedTuple):
    """A record of the topic of frames as a producer hands it over."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Poison(NamedTuple):
    """One way to spoil a record."""

    name: str
    reason: DeadLetterReason
    spoil: Callable[[Spoilt, np.random.Generator], Spoilt]


def _headers(**changed: bytes | None) -> Callable[[Spoilt, np.random.Generator], Spoilt]:
    """Give headers other values; underscores stand for hyphens."""
    values = {name.replace("_", "-"): value for name, value in changed.items()}
    return lambda record, _: record._replace(
        headers=[(name, values.get(name, value)) for name, value in record.headers]
    )


def _without(header: str) -> Callable[[Spoilt, np.random.Generator], Spoilt]:
    return lambda record, _: record._replace(headers=[each for each in record.headers if each[0] != header])


def _twice(record: Spoilt, rng: np.random.Generator) -> Spoilt:
    return record._replace(headers=[*record.headers, record.headers[int(rng.integers(len(record.headers)))]])


def _keyed(key: bytes | None) -> Callable[[Spoilt, np.random.Generator], Spoilt]:
    return lambda record, _: record._replace(key=key)


def _valued(change: Callable[[bytes, np.random.Generator], bytes | None]) -> Callable[..., Spoilt]:
    return lambda record, rng: record._replace(value=change(record.value or b"", rng))


def _at(ahead_ns: int) -> Callable[[Spoilt, np.random.Generator], Spoilt]:
    return lambda record, _: record._replace(
        headers=[
            (name, struct.pack(">q", time.time_ns() + ahead_ns) if name == CAPTURE_TIME else value)
            for name, value in record.headers
        ]
    )


def _sized(jpeg: bytes, height: int, width: int) -> bytes:
    """Let a JPEG's frame header state another size."""
    start = jpeg.index(_FRAME_HEADER) + 5
    return jpeg[:start] + struct.pack(">HH", height, width) + jpeg[start + 4 :]


def _cut(jpeg: bytes, rng: np.random.Generator) -> bytes:
    """Cut a JPEG off anywhere behind its first marker, and in front of its end marker."""
    return jpeg[: int(rng.integers(4, len(jpeg) - 2))]


def _padded(jpeg: bytes, _: np.random.Generator) -> bytes:
    """Let a picture be larger than one may be, by as little as Kafka takes."""
    return jpeg.ljust(FRAME_BYTES + 1, b"\0")


def _of_many_scans(jpeg: bytes, _: np.random.Generator) -> bytes:
    """Let each of thousands of empty scans go over all of a JPEG's pixels."""
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00"
    return jpeg[:-2] + scan * 8_000 + jpeg[-2:]


POISONS: Final = (
    Poison("unknown version", DeadLetterReason.UNKNOWN_VERSION, _headers(schema_version=b"2")),
    Poison("version of words", DeadLetterReason.MALFORMED_HEADER, _headers(schema_version=b"one")),
    Poison("version of many digits", DeadLetterReason.MALFORMED_HEADER, _headers(schema_version=b"1" * 400)),
    *(
        Poison(f"without {name}", DeadLetterReason.MISSING_HEADER, _without(name))
        for name in (VERSION_HEADER, CAMERA_RUN, SEQUENCE, CAPTURE_TIME, EPOCH)
    ),
    Poison("a header twice", DeadLetterReason.MALFORMED_HEADER, _twice),
    Poison("a null header", DeadLetterReason.MALFORMED_HEADER, _headers(sequence=None)),
    Poison("a short sequence", DeadLetterReason.MALFORMED_HEADER, _headers(sequence=b"\0\0\0\1")),
    Poison("a sequence of digits", DeadLetterReason.MALFORMED_HEADER, _headers(sequence=b"1")),
    Poison("a long epoch", DeadLetterReason.MALFORMED_HEADER, _headers(epoch=b"\0" * 9)),
    Poison("a camera run of bytes", DeadLetterReason.MALFORMED_HEADER, _headers(camera_run=b"\xff\xfe")),
    Poison("an endless camera run", DeadLetterReason.MALFORMED_HEADER, _headers(camera_run=b"r" * 100_000)),
    Poison("captured long ago", DeadLetterReason.IMPLAUSIBLE_TIME, _headers(capture_time=struct.pack(">q", -1))),
    Poison("captured tomorrow", DeadLetterReason.IMPLAUSIBLE_TIME, _at(24 * HOUR_NS)),
    Poison("captured at the end of time", DeadLetterReason.IMPLAUSIBLE_TIME, _headers(capture_time=LAST_INSTANT)),
    Poison("no key", DeadLetterReason.MISSING_KEY, _keyed(None)),
    Poison("an empty key", DeadLetterReason.MISSING_KEY, _keyed(b"")),
    Poison("a key of bytes", DeadLetterReason.MALFORMED_KEY, _keyed(b"\xc3\x28")),
    Poison("a key with a line end", DeadLetterReason.MALFORMED_KEY, _keyed(b"a\nb")),
    Poison("a long key", DeadLetterReason.MALFORMED_KEY, _keyed(b"k" * 5000)),
    Poison("no value", DeadLetterReason.EMPTY, _valued(lambda *_: None)),
    Poison("an empty value", DeadLetterReason.EMPTY, _valued(lambda *_: b"")),
    Poison("text", DeadLetterReason.NOT_A_JPEG, _valued(lambda *_: b"hello")),
    Poison("a PNG", DeadLetterReason.NOT_A_JPEG, _valued(lambda *_: b"\x89PNG\r\n\x1a\n" + b"\0" * 64)),
    Poison("a JPEG cut off", DeadLetterReason.UNDECODABLE, _valued(_cut)),
    Poison("a JPEG's start alone", DeadLetterReason.UNDECODABLE, _valued(lambda *_: b"\xff\xd8\xff\xd9")),
    Poison("a picture of no rows", DeadLetterReason.UNDECODABLE, _valued(lambda jpeg, _: _sized(jpeg, 0, 1280))),
    Poison("a decompression bomb", DeadLetterReason.TOO_LARGE, _valued(lambda jpeg, _: _sized(jpeg, 65535, 65535))),
    Poison("larger than the limit", DeadLetterReason.TOO_LARGE, _valued(_padded)),
    Poison("a picture of many scans", DeadLetterReason.UNDECODABLE, _valued(_of_many_scans)),
)


def flipped(record: Spoilt, rng: np.random.Generator) -> Spoilt:
    """Return a record with some bytes of its value, its key or a header changed at random; it may still be a frame."""
    where = rng.random()
    if where < 0.7:
        return record._replace(value=_noise(record.value or b"", rng))
    if where < 0.8:
        return record._replace(key=_noise(record.key or b"", rng))
    chosen = int(rng.integers(len(record.headers)))
    headers = [
        (name, _noise(value or b"", rng)) if number == chosen else (name, value)
        for number, (name, value) in enumerate(record.headers)
    ]
    return record._replace(headers=headers)


def _noise(data: bytes, rng: np.random.Generator) -> bytes:
    """Change up to `MOST_FLIPS` bytes, half of the time among the first 700, where a JPEG has its tables."""
    if not data:
        return bytes(rng.integers(0, 256, 8, dtype=np.uint8))
    changed = np.frombuffer(data, np.uint8).copy()
    reach = len(changed) if rng.random() < 0.5 else min(700, len(changed))
    places = rng.integers(reach, size=int(rng.integers(1, MOST_FLIPS + 1)))
    changed[places] = rng.integers(0, 256, len(places), dtype=np.uint8)
    return changed.tobytes()
