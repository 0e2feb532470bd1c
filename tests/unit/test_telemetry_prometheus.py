"""The catalogue's metrics as Prometheus reads them."""

import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.catalog import metrics
from pipeline.catalog.metrics import Kind
from pipeline.errors import ResourceError
from pipeline.ports import Telemetry
from pipeline.telemetry.places import Places
from pipeline.telemetry.prometheus import PrometheusTelemetry
from pipeline.telemetry.server import serve


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Scraped text as (name, labels) to value."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def reported(places: Places) -> tuple[Telemetry, CollectorRegistry]:
    registry = CollectorRegistry()
    return PrometheusTelemetry(registry, places), registry


def test_every_metric_of_the_catalogue_is_scraped_with_its_kind() -> None:
    """A metric that the catalogue names and the exporter left out would be missed in a dashboard only."""
    telemetry, registry = reported(Places(64))
    report = {Kind.COUNTER: telemetry.count, Kind.GAUGE: telemetry.set, Kind.HISTOGRAM: telemetry.observe}
    for metric in metrics.ALL:
        report[metric.kind](metric, 1.0, **dict.fromkeys(metric.labels, "a/1"))
    scraped = text_string_to_metric_families(generate_latest(registry).decode())
    assert {family.name: family.type for family in scraped} == {
        metric.name: metric.kind.value for metric in metrics.ALL
    }


def test_what_nobody_has_measured_is_not_exported_as_zero() -> None:
    """A share of 0 of the watchlist searched, on the page of a process that searches nothing, would raise an alarm."""
    telemetry, registry = reported(Places(64))
    assert "lamppost_fraction_searched" not in generate_latest(registry).decode()
    telemetry.set(metrics.FRACTION_SEARCHED, 0.0)
    assert ("lamppost_fraction_searched", frozenset()) in samples(generate_latest(registry).decode())


def test_scraped_text_holds_what_was_reported() -> None:
    """Counters, gauges and histograms go through a real scrape."""
    telemetry, registry = reported(Places(64))
    telemetry.count(metrics.FRAMES, 3, outcome="processed", place="street/1")
    telemetry.set(metrics.LAG, 17, partition="2")
    telemetry.observe(metrics.GLASS_TO_ALERT_SECONDS, 0.12, alerting="no")
    telemetry.observe(metrics.BATCH_FRAMES, 24)
    telemetry.set(metrics.CLOCK_UNTRUSTED, 1)
    telemetry.count(metrics.TRANSACTIONS_ABORTED)
    server = serve(registry)
    try:
        with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=5) as answer:
            seen = samples(answer.read().decode())
    finally:
        server.stop()
    assert seen["lamppost_frames_total", frozenset({("outcome", "processed"), ("place", "street/1")})] == 3
    assert seen["lamppost_lag_frames", frozenset({("partition", "2")})] == 17
    assert seen["lamppost_glass_to_alert_seconds_bucket", frozenset({("alerting", "no"), ("le", "0.1")})] == 0
    assert seen["lamppost_glass_to_alert_seconds_bucket", frozenset({("alerting", "no"), ("le", "0.15")})] == 1
    assert seen["lamppost_batch_frames_sum", frozenset()] == 24
    assert seen["lamppost_clock_untrusted_cameras", frozenset()] == 1
    assert seen["lamppost_transactions_aborted_total", frozenset()] == 1


def test_sums_over_places_do_not_step_when_cameras_give_way_to_districts() -> None:
    """What cameras had counted moves to their districts, and no series of a camera is left."""
    telemetry, registry = reported(Places(2))
    for camera, amount in (("a/1", 5), ("a/2", 7), ("b/1", 11)):
        telemetry.count(metrics.FRAMES, amount, outcome="processed", place=camera)
        telemetry.count(metrics.FACES, 2 * amount, place=camera)
    seen = samples(generate_latest(registry).decode())
    frames = {dict(labels)["place"]: value for (name, labels), value in seen.items() if name == "lamppost_frames_total"}
    faces = {dict(labels)["place"]: value for (name, labels), value in seen.items() if name == "lamppost_faces_total"}
    assert frames == {"a": 12, "b": 11}
    assert faces == {"a": 24, "b": 22}


def test_what_has_no_district_is_folded_into_one_place_and_what_has_no_camera_stays() -> None:
    """A thousand cameras named cam0 to cam999 are one series above the limit."""
    telemetry, registry = reported(Places(2))
    telemetry.count(metrics.FRAMES, 3, outcome="dead_lettered", place="unknown")
    for number in range(1000):
        telemetry.count(metrics.FRAMES, 1, outcome="processed", place=f"cam{number}")
    seen = samples(generate_latest(registry).decode())
    frames = {dict(labels)["place"]: value for (name, labels), value in seen.items() if name == "lamppost_frames_total"}
    assert frames == {"unknown": 3, "other": 1000}


def test_two_registries_in_one_process_do_not_share_a_count() -> None:
    """The registry is passed in, so there is no global one to collide in."""
    first, first_registry = reported(Places(64))
    _, second_registry = reported(Places(64))
    first.count(metrics.TRANSACTIONS_ABORTED)
    assert first_registry.get_sample_value("lamppost_transactions_aborted_total") == 1
    assert second_registry.get_sample_value("lamppost_transactions_aborted_total") == 0


def test_labels_that_are_not_the_metrics_are_refused() -> None:
    """A misspelt label is a fault of the program and is not exported under another name."""
    telemetry, _ = reported(Places(64))
    with pytest.raises(ValueError, match="abel"):
        telemetry.observe(metrics.STAGE_SECONDS, 0.1, stange="decode")


def test_a_port_in_use_is_one_clear_error() -> None:
    """The message names the address and the setting to change."""
    registry = CollectorRegistry()
    first = serve(registry)
    try:
        with pytest.raises(ResourceError, match=rf"{first.address}.*metrics\.port"):
            serve(registry, port=first.port)
    finally:
        first.stop()


def test_a_stopped_server_frees_its_port() -> None:
    """The next run can have the same port at once."""
    registry = CollectorRegistry()
    first = serve(registry)
    first.stop()
    second = serve(registry, port=first.port)
    second.stop()
    assert second.port == first.port
