"""Which node coordinates a transactional id, where Kafka can't be asked."""

import pytest

from pipeline.local.leaders import java_hash


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0),
        ("a", 97),
        ("hello", 99_162_322),
        ("polygenelubricants", -(2**31)),
        # in UTF-16 two units
        ("\N{GRINNING FACE}", 1_772_899),
    ],
)
def test_strings_hash_as_in_java(text: str, number: int) -> None:
    """A signed number of 32 bits, over units of UTF-16."""
    assert java_hash(text) == number
