"""The cameras' own metrics endpoint, built in the process that runs them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from pipeline.catalog import metrics
from pipeline.ports import Telemetry
from pipeline.telemetry.places import Places
from pipeline.telemetry.prometheus import PrometheusTelemetry
from pipeline.telemetry.server import serve


class Instruments(NamedTuple):
    """Where a process reports, and where that can be read."""

    telemetry: Telemetry
    address: str
    """host:port; empty if it can't be read from outside."""
    close: Callable[[], None]


InstrumentsFactory = Callable[[], Instruments]
"""Called once in the process that reports; travels there by pickle."""


@dataclass(frozen=True)
class CameraInstruments:
    """Serves the cameras' metrics to Prometheus on a free port of `host`."""

    host: str
    per_camera_limit: int
    cameras: int

    def __call__(self) -> Instruments:
        """The running endpoint; raises ResourceError if it can't listen."""
        registry = CollectorRegistry()
        telemetry = PrometheusTelemetry(
            registry,
            Places(self.per_camera_limit, self.cameras),
            (metrics.CAMERA_FRAMES, metrics.CAMERA_LATENESS_SECONDS),
        )
        server = serve(registry, self.host)
        return Instruments(telemetry, server.address, server.stop)
