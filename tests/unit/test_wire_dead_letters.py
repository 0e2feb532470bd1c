"""Dead letters say where a record lay and why it was refused, and nothing of what was in it."""

import pytest

from pipeline.catalog.outcomes import DeadLetterReason
from pipeline.errors import InputError
from pipeline.records import DeadLetter
from pipeline.wire import dead_letters

LETTER = DeadLetter("frames", 1, 55, DeadLetterReason.NOT_A_JPEG, 9000, "north/7", 1_790_000_000_123_000_000)
ANONYMOUS = DeadLetter("frames", 1, 56, DeadLetterReason.MISSING_KEY, 0, None, 1_790_000_000_123_000_000)


@pytest.mark.parametrize(("letter", "key"), [(LETTER, b"north/7"), (ANONYMOUS, None)])
def test_decodes_what_it_encoded(letter: DeadLetter, key: bytes | None) -> None:
    """With or without a camera, the letter survives."""
    record = dead_letters.encode(letter)
    assert (record.topic, record.key) == ("dead-letters", key)
    assert dead_letters.decode(record.value, record.headers) == letter


def test_no_payload_has_a_place_in_it() -> None:
    """A new field has to be put on this list, and be none of the refused record's bytes."""
    schema = dead_letters.json_schema()["$defs"]["DeadLetter"]
    assert set(schema["properties"]) == {"topic", "partition", "offset", "reason", "size", "camera", "append_ns"}


@pytest.mark.parametrize(
    ("value", "headers"), [(b"{}", (("schema-version", b"1"),)), (None, (("schema-version", b"1"),)), (b"{}", ())]
)
def test_garbage_is_refused(value: bytes | None, headers: tuple[tuple[str, bytes], ...]) -> None:
    """A dead letter that cannot be read is an error of its own."""
    with pytest.raises(InputError, match="not a dead letter"):
        dead_letters.decode(value, headers)
