"""Telemetry that remembers what it was told."""

from collections import defaultdict

from pipeline.catalog.metrics import Kind, Metric

Labels = tuple[tuple[str, str], ...]


class FakeTelemetry:
    """Implements `pipeline.ports.Telemetry`; raises ValueError where a real registry would refuse a call."""

    def __init__(self) -> None:
        self._sums: defaultdict[tuple[str, Labels], float] = defaultdict(float)
        self._observed: defaultdict[tuple[str, Labels], list[float]] = defaultdict(list)

    def count(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        """See the port."""
        if amount < 0:
            raise ValueError(f"{metric.name}: a counter cannot fall by {-amount}")
        self._sums[self._series(metric, Kind.COUNTER, labels)] += amount

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """See the port."""
        self._observed[self._series(metric, Kind.HISTOGRAM, labels)].append(value)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """See the port."""
        self._sums[self._series(metric, Kind.GAUGE, labels)] = value

    def value(self, metric: Metric, **labels: str) -> float:
        """What a counter or gauge stands at; 0.0 if it was never touched."""
        return self._sums.get((metric.name, tuple(sorted(labels.items()))), 0.0)

    def observations(self, metric: Metric, **labels: str) -> list[float]:
        """What a histogram was given, in order."""
        return list(self._observed.get((metric.name, tuple(sorted(labels.items()))), []))

    def _series(self, metric: Metric, kind: Kind, labels: dict[str, str]) -> tuple[str, Labels]:
        if metric.kind is not kind:
            raise ValueError(f"{metric.name} is a {metric.kind}, not a {kind}")
        if set(labels) != set(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, not {tuple(sorted(labels))}")
        return metric.name, tuple(sorted(labels.items()))
