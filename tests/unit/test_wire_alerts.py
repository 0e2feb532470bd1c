"""Alerts are CloudEvents in Kafka binary mode, hold no picture and no template, and are read back as they were."""

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no type information

from pipeline.errors import InputError
from pipeline.records import Alert
from pipeline.wire import alerts

ALERT = Alert(
    id="0f" * 16,
    camera="north/é7",
    camera_run="run-a",
    sequence=41,
    entry="p1",
    reference="case 12",
    score=0.75,
    threshold=0.6,
    capture_ns=1_790_000_000_123_456_789,
    cooldown_ns=1_790_000_000_123_456_789,
    append_ns=1_790_000_000_200_000_000,
    decided_ns=1_790_000_000_987_654_321,
    box=(1.0, 2.0, 41.5, 52.25),
    frame_partition=3,
    frame_offset=77,
    watchlist_version=12,
    embedder_version="eyes-1",
    run="night run",
    slot=1,
)


def parts(alert: Alert = ALERT) -> tuple[bytes | None, bytes | None, dict[str, bytes | None]]:
    """Key, value and headers of an alert's record."""
    record = alerts.encode(alert)
    return record.key, record.value, dict(record.headers)


def test_decodes_what_it_encoded() -> None:
    """Every field survives, nanoseconds included."""
    key, value, headers = parts()
    assert alerts.decode(key, value, tuple(headers.items())) == ALERT


def test_event_attributes_are_headers() -> None:
    """Kafka's own tools and any CloudEvents reader see what happened, when and where."""
    record = alerts.encode(ALERT)
    assert (record.topic, record.partition, record.key) == ("alerts", 3, "north/é7".encode())
    assert {name: value.decode() for name, value in record.headers} == {
        "ce_specversion": "1.0",
        "ce_id": "0f" * 16,
        "ce_source": "/lamppost/night%20run/1",
        "ce_type": "lamppost.alert",
        "ce_time": "2026-09-21T14:13:20.987654Z",
        "ce_subject": "north/é7",
        "ce_dataschema": "urn:lamppost:alert:1",
        "content-type": "application/json",
    }


def test_time_keeps_its_leading_zeros() -> None:
    """A few microseconds past the second are not a tenth of it."""
    assert alerts.rfc3339(1_790_000_000_000_007_999) == "2026-09-21T14:13:20.000007Z"


def test_alert_carries_scores_ids_and_times_and_nothing_else() -> None:
    """A new field has to be put on this list, and be no picture and no template."""
    schema = alerts.json_schema()["$defs"]["Alert"]
    kinds = {name: field.get("type") for name, field in schema["properties"].items()}
    assert kinds == {
        **dict.fromkeys(["id", "camera", "camera_run", "entry", "reference", "embedder_version", "run"], "string"),
        **dict.fromkeys(["sequence", "capture_ns", "cooldown_ns", "append_ns", "decided_ns"], "integer"),
        **dict.fromkeys(["frame_partition", "frame_offset", "watchlist_version", "slot"], "integer"),
        **dict.fromkeys(["score", "threshold", "fraction_searched"], "number"),
        "box": "array",
    }
    box = schema["properties"]["box"]
    assert (box["minItems"], box["maxItems"]) == (4, 4)


def test_data_fit_the_published_schema() -> None:
    """Whoever validates alerts by the schema accepts them."""
    _, value, _ = parts()
    schema = alerts.json_schema()
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(msgspec.json.decode(value or b""))


def test_cooldown_key_needs_no_whole_alert() -> None:
    """Camera, entry and instant are what a successor rebuilds its cool-down from."""
    _, value, headers = parts()
    assert alerts.cooldown_key(value, tuple(headers.items())) == ("north/é7", "p1", ALERT.cooldown_ns)


def test_fields_of_later_minor_releases_are_ignored() -> None:
    """An additional field does not make an alert unreadable."""
    key, value, headers = parts()
    assert value is not None
    assert alerts.decode(key, value[:-1] + b',"new":1}', tuple(headers.items())) == ALERT


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ce_dataschema": b"urn:lamppost:alert:2"}, "ce_dataschema"),
        ({"ce_specversion": b"0.3"}, "ce_specversion"),
        ({"ce_type": b"review"}, "ce_type"),
        ({"ce_id": b"other"}, "differs from the data"),
        ({"ce_id": None}, "differs from the data"),
    ],
)
def test_other_events_are_refused(changes: dict[str, bytes | None], message: str) -> None:
    """An event of another version or type, or one that contradicts itself, is no alert."""
    key, value, headers = parts()
    with pytest.raises(InputError, match=message):
        alerts.decode(key, value, tuple({**headers, **changes}.items()))


@pytest.mark.parametrize("value", [None, b"", b"{}", b"[1]", b"\xff\xfe", b'{"camera": 5}'])
def test_garbage_is_refused(value: bytes | None) -> None:
    """Neither reading gets anything out of it but the error."""
    key, _, headers = parts()
    with pytest.raises(InputError, match="not an alert"):
        alerts.decode(key, value, tuple(headers.items()))
    with pytest.raises(InputError, match="not an alert"):
        alerts.cooldown_key(value, tuple(headers.items()))


def test_repeated_header_is_refused() -> None:
    """Two ids in one record would be two alerts."""
    key, value, headers = parts()
    with pytest.raises(InputError, match="twice"):
        alerts.decode(key, value, (*headers.items(), ("ce_id", b"other")))


def test_key_must_be_the_camera() -> None:
    """A record under another camera's key would be read by another worker."""
    _, value, headers = parts()
    with pytest.raises(InputError, match="key differs"):
        alerts.decode(b"south/1", value, tuple(headers.items()))


@pytest.mark.parametrize("changes", [{"score": float("nan")}, {"box": (0.0, 0.0, float("inf"), 1.0)}])
def test_numbers_must_be_finite(changes: dict[str, object]) -> None:
    """JSON has no NaN: it would arrive as null."""
    with pytest.raises(InputError, match="not finite"):
        alerts.encode(msgspec.structs.replace(ALERT, **changes))
