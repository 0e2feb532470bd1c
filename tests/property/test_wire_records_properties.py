"""Any alert, receipt, dead letter and watchlist entry survives the wire, and no bytes get anything else out of it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog.outcomes import DeadLetterReason, Outcome
from pipeline.errors import InputError, WatchlistError
from pipeline.records import Alert, DeadLetter, OutcomeRange, Receipt, WatchlistEntry
from pipeline.wire import alerts, dead_letters, receipts, watchlist

D = 8
ids = st.text(min_size=1, max_size=200).filter(str.isprintable)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
counts = st.integers(0, 2**63 - 1)
instants = st.integers(0, 4_000_000_000 * 10**9)
finite = st.floats(allow_nan=False, allow_infinity=False)

any_alert = st.builds(
    Alert,
    id=ids, camera=ids, camera_run=ids, entry=ids, reference=texts, embedder_version=texts, run=ids,
    sequence=counts, frame_partition=counts, frame_offset=counts, watchlist_version=counts, slot=counts,
    capture_ns=instants, cooldown_ns=instants, append_ns=instants, decided_ns=instants,
    score=finite, threshold=finite, fraction_searched=st.floats(0, 1), box=st.tuples(finite, finite, finite, finite),
)  # fmt: skip
any_receipt = st.builds(
    Receipt,
    run=ids, slot=counts, batch=counts, decided_ns=instants, alerts=counts,
    ranges=st.lists(st.builds(OutcomeRange, counts, counts, counts, st.sampled_from(Outcome))).map(tuple),
    watchlist_version_lowest=counts, watchlist_version_greatest=counts, fraction_searched=st.floats(0, 1),
    shed_by_camera=st.dictionaries(ids, counts, max_size=3),
)  # fmt: skip
any_letter = st.builds(
    DeadLetter, texts, counts, counts, st.sampled_from(DeadLetterReason), counts, st.one_of(st.none(), ids), instants
)
any_template = (
    st.lists(st.floats(-1, 1, width=32), min_size=D, max_size=D)
    .map(lambda values: np.array(values, np.float32))
    .filter(lambda values: float(np.linalg.norm(values)) > 1e-3)
    .map(lambda values: (values / np.linalg.norm(values)).astype(np.float32))
)
any_entry = st.builds(WatchlistEntry, ids, any_template, texts, texts, st.one_of(st.none(), instants))


@given(any_alert)
def test_alerts_round_trip(alert: Alert) -> None:
    """Decoding gives back the alert, and the quick reading agrees with it."""
    record = alerts.encode(alert)
    assert alerts.decode(record.key, record.value, record.headers) == alert
    assert alerts.cooldown_key(record.value, record.headers) == (alert.camera, alert.entry, alert.cooldown_ns)


@given(any_receipt)
def test_receipts_round_trip(receipt: Receipt) -> None:
    """Decoding gives back the receipt."""
    record = receipts.encode(receipt)
    assert receipts.decode(record.key, record.value, record.headers) == receipt


@given(any_letter)
def test_dead_letters_round_trip(letter: DeadLetter) -> None:
    """Decoding gives back the dead letter."""
    record = dead_letters.encode(letter)
    assert dead_letters.decode(record.value, record.headers) == letter


@given(any_entry)
def test_watchlist_entries_round_trip(entry: WatchlistEntry) -> None:
    """Decoding gives back the entry with its template bit for bit."""
    record = watchlist.encode(entry, D)
    decoded = watchlist.decode(record.key, record.value, record.headers, D)
    assert isinstance(decoded, WatchlistEntry)
    assert decoded.template.tobytes() == entry.template.tobytes()
    assert (decoded.entry, decoded.reference) == (entry.entry, entry.reference)
    assert (decoded.list_id, decoded.expires_ns) == (entry.list_id, entry.expires_ns)


@given(st.one_of(st.none(), st.binary(max_size=20)), st.binary(max_size=60))
def test_garbage_is_an_input_error(key: bytes | None, value: bytes) -> None:
    """Whatever lies on a topic, under the right headers, is refused with the error of the input."""
    event = (("ce_specversion", b"1.0"), ("ce_type", alerts.TYPE), ("ce_dataschema", alerts.DATA_SCHEMA))
    versioned = (("schema-version", b"1"),)
    refused = 0
    for read in (
        lambda: alerts.decode(key, value, event),
        lambda: alerts.cooldown_key(value, event),
        lambda: receipts.decode(key, value, versioned),
        lambda: dead_letters.decode(value, versioned),
    ):
        try:
            read()
        except InputError:
            refused += 1
    assert refused == 4
    try:
        watchlist.decode(key, value, versioned, D)
    except WatchlistError:
        refused += 1
    assert refused == 5 or key == watchlist.HEARTBEAT_KEY
