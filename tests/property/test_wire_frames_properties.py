"""Any frame survives the wire, and no bytes at all get anything but a frame or a FrameError out of it."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog.outcomes import DeadLetterReason
from pipeline.errors import FrameError
from pipeline.records import ConsumedRecord, Frame
from pipeline.wire import frames

NOW_NS = 1_790_000_000 * 10**9
ids = st.text(min_size=1, max_size=200).filter(str.isprintable)
header_names = st.sampled_from(
    ["schema-version", frames.CAMERA_RUN, frames.SEQUENCE, frames.CAPTURE_TIME, frames.EPOCH, "other"]
)
header_values = st.one_of(st.none(), st.just(b"1"), st.binary(max_size=12), st.just(NOW_NS.to_bytes(8, "big")))


frames_of_any_kind = st.builds(
    Frame,
    camera=ids,
    camera_run=ids,
    sequence=st.integers(0, 2**64 - 1),
    capture_ns=st.integers(frames.EARLIEST_NS, NOW_NS + frames.LATEST_AHEAD_NS),
    jpeg=st.binary().map(b"\xff\xd8\xff".__add__),
    epoch=st.integers(0, 2**64 - 1),
)


@given(frames_of_any_kind)
def test_round_trip(frame: Frame) -> None:
    """Decoding gives back the frame that was encoded."""
    assert frames.decode(ConsumedRecord(0, 0, NOW_NS, *frames.encode(frame))) == frame


@given(
    st.one_of(st.none(), st.binary(max_size=20)),
    st.one_of(st.none(), st.binary(max_size=20), st.just(b"\xff\xd8\xff")),
    st.lists(st.tuples(header_names, header_values), max_size=7),
)
def test_garbage_never_gets_through(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    """Whatever lies on the topic ends as a frame or as a dead letter with a reason of the catalogue."""
    try:
        frame = frames.decode(ConsumedRecord(0, 0, NOW_NS, key, value, tuple(headers)))
    except FrameError as error:
        assert error.reason in set(DeadLetterReason)
    else:
        assert frames.encode(frame)[:2] == (key, value)
