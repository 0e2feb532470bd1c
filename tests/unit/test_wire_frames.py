"""The frame codec refuses what is not a frame, with the reason that the dead letter will carry."""

import struct
from collections.abc import Mapping

import msgspec
import pytest

from pipeline.catalog.outcomes import DeadLetterReason
from pipeline.catalog.topics import FRAME_BYTES
from pipeline.errors import FrameError
from pipeline.records import ConsumedRecord, Frame
from pipeline.wire import frames

NOW_NS = 1_790_000_000 * 10**9
JPEG = b"\xff\xd8\xff\xe0 rest of a picture"
FRAME = Frame("north/7", "run-a", 41, NOW_NS, JPEG, 3)


def record(**changes: object) -> ConsumedRecord:
    """A valid record of FRAME, with `changes`."""
    key, value, headers = frames.encode(FRAME)
    return msgspec.structs.replace(ConsumedRecord(0, 5, NOW_NS + 10**6, key, value, headers), **changes)


def with_headers(changes: Mapping[str, bytes | None], without: str = "") -> ConsumedRecord:
    """The valid record with some headers changed and one left out."""
    headers: dict[str, bytes | None] = {**dict(frames.encode(FRAME)[2]), **changes}
    return record(headers=tuple((name, value) for name, value in headers.items() if name != without))


def reason(bad: ConsumedRecord) -> str:
    """Why the codec refuses a record."""
    with pytest.raises(FrameError) as caught:
        frames.decode(bad)
    return caught.value.reason


def test_decodes_what_it_encoded() -> None:
    """A frame survives the wire unchanged."""
    assert frames.decode(record()) == FRAME


def test_layout_is_the_documented_one() -> None:
    """Producers in other languages can rely on the bytes in the module's table."""
    key, value, headers = frames.encode(FRAME)
    assert (key, value) == (b"north/7", JPEG)
    assert dict(headers) == {
        "schema-version": b"1",
        "camera-run": b"run-a",
        "sequence": bytes([0, 0, 0, 0, 0, 0, 0, 41]),
        "capture-time": struct.pack(">q", NOW_NS),
        "epoch": bytes([0, 0, 0, 0, 0, 0, 0, 3]),
    }


def test_ignores_foreign_headers() -> None:
    """A tracing header does not make a frame a dead letter."""
    assert frames.decode(with_headers({"traceparent": b"00-1-2-01"})) == FRAME


@pytest.mark.parametrize("name", ["schema-version", "camera-run", "sequence", "capture-time", "epoch"])
def test_each_header_is_required(name: str) -> None:
    """A record without one of the headers is refused; one with a null value is malformed."""
    assert reason(with_headers({}, without=name)) == DeadLetterReason.MISSING_HEADER
    assert reason(with_headers({name: None})) == DeadLetterReason.MALFORMED_HEADER


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": b"\x01"},
        {"sequence": b"123456789"},
        {"capture-time": b""},
        {"epoch": b"\x00\x00\x00\x00"},
        {"camera-run": b""},
        {"camera-run": b"\xff\xfe"},
        {"camera-run": b"a\nb"},
        {"camera-run": b"r" * 201},
        {"schema-version": b"one"},
        {"schema-version": b"123456"},
        {"schema-version": b""},
    ],
)
def test_malformed_headers_are_refused(changes: dict[str, bytes]) -> None:
    """Wrong lengths, encodings and characters are malformed headers."""
    assert reason(with_headers(changes)) == DeadLetterReason.MALFORMED_HEADER


def test_repeated_header_is_malformed() -> None:
    """Two sequences in one record would be two frames."""
    headers = frames.encode(FRAME)[2]
    assert reason(record(headers=(*headers, headers[2]))) == DeadLetterReason.MALFORMED_HEADER


def test_unknown_version_is_told_from_garbage() -> None:
    """A later layout is refused as such before anything else of it is read."""
    assert reason(with_headers({"schema-version": b"2", "sequence": b"?"})) == DeadLetterReason.UNKNOWN_VERSION


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, DeadLetterReason.MISSING_KEY),
        (b"", DeadLetterReason.MISSING_KEY),
        (b"\xff", DeadLetterReason.MALFORMED_KEY),
        (b"a\x00b", DeadLetterReason.MALFORMED_KEY),
        ("é".encode() * 201, DeadLetterReason.MALFORMED_KEY),
    ],
)
def test_key_must_be_a_camera_id(key: bytes | None, expected: DeadLetterReason) -> None:
    """Camera ids are 1 to 200 printable characters in UTF-8."""
    assert reason(record(key=key)) == expected
    assert frames.camera_of(record(key=key)) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, DeadLetterReason.EMPTY),
        (b"", DeadLetterReason.EMPTY),
        (b"GIF89a", DeadLetterReason.NOT_A_JPEG),
        (JPEG + bytes(FRAME_BYTES), DeadLetterReason.TOO_LARGE),
    ],
)
def test_value_must_look_like_a_jpeg(value: bytes | None, expected: DeadLetterReason) -> None:
    """Empty, foreign and oversized values are refused without decoding them."""
    assert reason(record(value=value)) == expected


@pytest.mark.parametrize("capture_ns", [-1, 0, frames.EARLIEST_NS - 1, NOW_NS + 3602 * 10**9])
def test_implausible_capture_time_is_refused(capture_ns: int) -> None:
    """A clock that was never set, or runs an hour ahead, does not enter the latency figures."""
    assert reason(with_headers({"capture-time": struct.pack(">q", capture_ns)})) == DeadLetterReason.IMPLAUSIBLE_TIME


@pytest.mark.parametrize(
    "changes", [{"camera": ""}, {"camera_run": "a\tb"}, {"sequence": -1}, {"epoch": 2**64}, {"capture_ns": 2**63}]
)
def test_encode_refuses_what_decode_would(changes: dict[str, object]) -> None:
    """A producer hears of a bad id or number at once, not from the dead letters."""
    with pytest.raises(FrameError):
        frames.encode(msgspec.structs.replace(FRAME, **changes))
