"""The catalogue's metrics in prometheus-client: one registry per process, passed in."""

from collections.abc import Iterable
from threading import Lock
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from pipeline.catalog import metrics as catalog
from pipeline.catalog.metrics import Kind, Metric
from pipeline.telemetry.places import Places

PLACE: Final = "place"

M = TypeVar("M", Gauge, Histogram)


disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more per series, which no question here asks for


class _OnFirstUse(Generic[M]):
    """A metric that is exported from its first value on: a gauge at 0 would say what nobody has measured."""

    def __init__(self, registry: CollectorRegistry, metric: M) -> None:
        self._registry = registry
        self._metric: M = metric
        self._lock = Lock()
        self._exported = False

    def metric(self) -> M:
        """The metric, about to get a value."""
        if not self._exported:
            with self._lock:
                if not self._exported:
                    self._registry.register(self._metric)
                    self._exported = True
        return self._metric


class PrometheusTelemetry:
    """Reports to a registry; implements `pipeline.ports.Telemetry`.

    Callers give the camera id as the label ``place``; `places` turns it into what is exported. When it turns from
    cameras to districts in mid-run, what the cameras had counted so far is added to their districts and their own
    series end, so that sums over all places never step. Safe to call from several threads. A metric that is not in
    `metrics`, or labels that are not the metric's, raise KeyError or ValueError: these are faults of the program.
    """

    def __init__(self, registry: CollectorRegistry, places: Places, metrics: Iterable[Metric] = catalog.ALL) -> None:
        chosen = tuple(metrics)
        self._places = places
        self._lock = Lock()
        self._folded = places.by_district
        self._counters = {
            m.name: Counter(m.name, m.help, m.labels, registry=registry) for m in _of(Kind.COUNTER, chosen)
        }
        self._gauges = {
            m.name: _OnFirstUse(registry, Gauge(m.name, m.help, m.labels, registry=None))
            for m in _of(Kind.GAUGE, chosen)
        }
        self._histograms = {
            m.name: _OnFirstUse(registry, Histogram(m.name, m.help, m.labels, registry=None, buckets=m.buckets))
            for m in _of(Kind.HISTOGRAM, chosen)
        }
        self._by_place = tuple(m for m in _of(Kind.COUNTER, chosen) if PLACE in m.labels)
        if misplaced := [m.name for m in chosen if PLACE in m.labels and m.kind is not Kind.COUNTER]:
            raise ValueError(f"only counters can be labelled by place, since only they can be added up: {misplaced}")

    def count(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        """Add `amount` (0 or more) to a counter."""
        counter = self._counters[metric.name]
        if PLACE not in metric.labels:
            (counter.labels(**labels) if labels else counter).inc(amount)
            return
        with self._lock:
            place = self._places.label(labels[PLACE])
            if self._places.by_district and not self._folded:
                self._fold()
            counter.labels(**labels | {PLACE: place}).inc(amount)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Add one observation to a histogram."""
        histogram = self._histograms[metric.name].metric()
        (histogram.labels(**labels) if labels else histogram).observe(value)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Set a gauge."""
        gauge = self._gauges[metric.name].metric()
        (gauge.labels(**labels) if labels else gauge).set(value)

    def _fold(self) -> None:
        self._folded = True
        for metric in self._by_place:
            counter = self._counters[metric.name]
            for family in list(counter.collect()):
                for sample in family.samples:
                    if not sample.name.endswith("_total"):
                        continue
                    place = self._places.label(camera := sample.labels[PLACE])
                    if place != camera:
                        counter.remove(*(sample.labels[name] for name in metric.labels))
                        counter.labels(**sample.labels | {PLACE: place}).inc(sample.value)


def _of(kind: Kind, metrics: Iterable[Metric]) -> list[Metric]:
    return [metric for metric in metrics if metric.kind is kind]
