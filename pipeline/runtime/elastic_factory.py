"""The composition root of an elastic pool: what measures it, and where its metrics are served."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from pipeline.actors.elastic import ElasticParts, ElasticPlan
from pipeline.catalog import metrics
from pipeline.catalog.topics import FRAMES
from pipeline.core.scaling import Scaling
from pipeline.runtime.connections import connection_of
from pipeline.runtime.settings import Settings
from pipeline.streams.lag import GroupLag
from pipeline.telemetry.places import Places
from pipeline.telemetry.prometheus import PrometheusTelemetry
from pipeline.telemetry.server import serve

METRICS = (metrics.POOL_WORKERS, metrics.POOL_CHANGES, metrics.POOL_LAG)


@dataclass(frozen=True)
class ElasticFactory:
    """Builds what measures a run's pool in the supervisor's process."""

    settings: Settings
    run: str

    def __call__(self) -> ElasticParts:
        """The parts; raises LamppostError if one of them can't be had."""
        settings = self.settings
        lag = GroupLag(connection_of(settings, f"{self.run}.supervisor"), topic=FRAMES, group=settings.run.group)
        registry = CollectorRegistry()
        telemetry = PrometheusTelemetry(registry, Places(settings.metrics.per_camera_limit), METRICS)
        server = serve(registry, settings.metrics.host)

        def close() -> None:
            server.stop()
            lag.close()

        return ElasticParts(lag.frames, telemetry, server.port, close)


def elastic_plan(settings: Settings, run: str) -> ElasticPlan | None:
    """The plan of an elastic pool; None if the pool is fixed."""
    if settings.scaling.max is None:
        return None
    return ElasticPlan(
        scaling=Scaling(
            least=settings.least_workers,
            most=settings.most_workers,
            target=settings.scaling.target_lag_seconds,
            interval=settings.scaling.interval_seconds,
        ),
        open_parts=ElasticFactory(settings, run),
        drain_seconds=settings.lifecycle.drain_seconds,
    )
