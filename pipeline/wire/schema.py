"""What the codecs share: the version header, the rule for ids, and headers as a mapping."""

from collections.abc import Sequence
from typing import Final

VERSION_HEADER: Final = "schema-version"
"""Header of every record but alerts (theirs is ``ce_dataschema``): the layout's number in ASCII digits."""
CONTENT_TYPE: Final = "content-type"
JSON: Final = b"application/json"
ID_LENGTH: Final = 200

Headers = Sequence[tuple[str, bytes | None]]


def id_problem(text: str) -> str | None:
    """What is wrong with an id of a camera, a camera run or an entry; None if nothing is.

    An id has 1 to 200 characters, all of them printable: no control character, no separator but the space, no lone
    surrogate.
    """
    if not text:
        return "is empty"
    if len(text) > ID_LENGTH:
        return f"is longer than {ID_LENGTH} characters"
    if not text.isprintable():
        return "holds an unprintable character"
    return None


def by_name(headers: Headers) -> dict[str, bytes | None] | None:
    """Headers as a mapping; None if a name comes twice, since readers would disagree on which one counts."""
    named = dict(headers)
    return named if len(named) == len(headers) else None


def version_problem(headers: Headers, expected: bytes) -> str | None:
    """What is wrong with the version header of a record; None if it is `expected`."""
    named = by_name(headers)
    if named is None:
        return "a header comes twice"
    version = named.get(VERSION_HEADER)
    if version == expected:
        return None
    if version is None:
        return f"header {VERSION_HEADER} is missing"
    return f"schema version {version[:20]!r} is not {expected.decode()}"
