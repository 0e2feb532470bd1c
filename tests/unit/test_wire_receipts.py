"""Receipts are JSON that is read back as it was, by version."""

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no type information

from pipeline.catalog.outcomes import Outcome
from pipeline.errors import InputError
from pipeline.records import OutcomeRange, Receipt
from pipeline.wire import receipts

RECEIPT = Receipt(
    run="r",
    slot=2,
    batch=9,
    decided_ns=1_790_000_000_123_456_789,
    ranges=(OutcomeRange(0, 5, 9, Outcome.PROCESSED), OutcomeRange(0, 9, 12, Outcome.EXPIRED)),
    alerts=1,
    watchlist_version_lowest=3,
    watchlist_version_greatest=4,
    fraction_searched=0.5,
    shed_by_camera={"north/7": 2},
)


def test_decodes_what_it_encoded() -> None:
    """The ranges and outcomes survive, under the key of the worker slot."""
    record = receipts.encode(RECEIPT)
    assert (record.topic, record.key) == ("custody", b"r/2")
    assert dict(record.headers) == {"schema-version": b"1", "content-type": b"application/json"}
    assert receipts.decode(record.key, record.value, record.headers) == RECEIPT


def test_data_fit_the_published_schema() -> None:
    """Auditors can validate receipts with their own tools."""
    schema = receipts.json_schema()
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(msgspec.json.decode(receipts.encode(RECEIPT).value or b""))


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b'{"run": "r"}'])
def test_garbage_is_refused(value: bytes | None) -> None:
    """A receipt that cannot be read is an error, never a receipt of nothing."""
    with pytest.raises(InputError, match="not a receipt"):
        receipts.decode(b"r/2", value, receipts.encode(RECEIPT).headers)


def test_unknown_outcome_is_refused() -> None:
    """An outcome that this release does not know cannot be counted."""
    record = receipts.encode(RECEIPT)
    value = (record.value or b"").replace(b'"expired"', b'"evaporated"')
    with pytest.raises(InputError, match="not a receipt"):
        receipts.decode(record.key, value, record.headers)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ((), "schema-version is missing"),
        ((("schema-version", b"2"),), "b'2' is not 1"),
        ((("schema-version", b"1"), ("schema-version", b"1")), "twice"),
    ],
)
def test_other_versions_are_refused(headers: tuple[tuple[str, bytes], ...], message: str) -> None:
    """The version decides before the data is read."""
    with pytest.raises(InputError, match=message):
        receipts.decode(b"r/2", receipts.encode(RECEIPT).value, headers)


def test_key_must_be_the_worker_slot() -> None:
    """A receipt that lies under another worker's name is not believed."""
    record = receipts.encode(RECEIPT)
    with pytest.raises(InputError, match="differs from the data"):
        receipts.decode(b"r/3", record.value, record.headers)
