"""The composition root: the one place where ports meet adapters.

The factories are what travels to Ray: plain values that build everything in the process that will use it.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from pipeline.actors.batch import Trace
from pipeline.actors.batch_loop import BatchLoop
from pipeline.actors.gallery import RayGallery
from pipeline.actors.intake import Intake
from pipeline.actors.report import Ledger
from pipeline.actors.run_plan import RunPlan
from pipeline.actors.settlement import Settlement
from pipeline.actors.sight import Sight
from pipeline.actors.vision_worker import WorkerParts
from pipeline.catalog.indexes import GPU_INDEXES
from pipeline.catalog.roles import WORKER_IDS
from pipeline.catalog.topics import ALERTS, FRAMES
from pipeline.core.alerting import Criteria
from pipeline.core.clocks import ClockTrust
from pipeline.core.pressure import Overload, Policy
from pipeline.errors import SettingsError
from pipeline.ports import Align, Assigned, Decode, Detector, Embedder, FrameSource, Revoked, Telemetry
from pipeline.records import ConsumedRecord
from pipeline.runtime.connections import connection_of
from pipeline.runtime.dimensions import dimension_of, require_dimension
from pipeline.runtime.elastic_factory import elastic_plan
from pipeline.runtime.gpus import gpu_share, search_gpu_share
from pipeline.runtime.heap import freeze_heap
from pipeline.runtime.settings import Settings
from pipeline.runtime.shard_factory import Heartbeat, ShardFactory, shard_options
from pipeline.streams.client import Connection
from pipeline.streams.consumer import KafkaFrameSource
from pipeline.streams.history import KafkaAlertHistory
from pipeline.streams.outbox import KafkaOutbox
from pipeline.telemetry.places import Places
from pipeline.telemetry.prometheus import PrometheusTelemetry
from pipeline.telemetry.server import serve
from pipeline.wire import alerts as alert_wire
from pipeline.wire.watchlist import HEARTBEAT_SECONDS


class SystemClock:
    """The machine's clocks; implements `pipeline.ports.Clock`."""

    def now_ns(self) -> int:
        """Wall-clock time in nanoseconds since the Unix epoch."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds of a clock that never steps."""
        return time.monotonic()


def transactional_id(run: str, slot: int) -> str:
    """The same after a restart, so that a successor fences the dead worker; different between runs."""
    return f"{run}{WORKER_IDS}{slot}"


@dataclass(frozen=True)
class Looking:
    """What turns JPEGs into templates, and the cosine from which two templates are the same person's."""

    decode: Decode
    detector: Detector
    align: Align
    embedder: Embedder
    threshold: float


def shipped_looking(settings: Settings) -> Looking:
    """The networks that are set, the shipped ones by default.

    Raises ModelError if they can't be had, SettingsError if they can't be used as set.
    """
    from pipeline.vision.align import align  # noqa: PLC0415  # torch and OpenCV load in workers only
    from pipeline.vision.decode import decode_jpeg  # noqa: PLC0415  # as above
    from pipeline.vision.eyes import load_detector, load_embedder  # noqa: PLC0415  # as above
    from pipeline.vision.own_models import OwnDetector, OwnEmbedder  # noqa: PLC0415  # as above
    from pipeline.vision.threads import use_threads  # noqa: PLC0415  # as above
    from pipeline.vision.weights import load_manifest  # noqa: PLC0415  # as above

    device, vision = device_of(settings), settings.vision
    use_threads(threads_of(settings))
    detector: Detector
    if vision.detector_model is None:
        detector = load_detector(device, vision.precision, vision.folder)
    else:
        detector = OwnDetector(vision.detector_model, device=device)
    if vision.embedder_model is None:
        embedder = load_embedder(device, vision.precision, vision.folder)
        shipped = load_manifest(vision.folder).operating_point
        return Looking(decode_jpeg, detector, align, embedder, shipped.threshold)
    own = OwnEmbedder(vision.embedder_model, device=device)
    threshold = settings.matching.threshold if own.threshold is None else own.threshold
    if threshold is None:  # the shipped threshold means nothing for templates of another network
        raise SettingsError(
            f"matching.threshold is not set, and {vision.embedder_model} states no `threshold`; set one of them"
        )
    return Looking(decode_jpeg, detector, align, own, threshold)


@dataclass(frozen=True)
class WorkerFactory:
    """Builds a vision worker's parts in the worker's own process; `look` is called there."""

    settings: Settings
    run: str
    look: Callable[[Settings], Looking] = shipped_looking

    def __call__(self, slot: int) -> WorkerParts:
        """The parts of the worker in `slot`; raises LamppostError if one of them can't be had."""
        settings = self.settings
        clock = SystemClock()
        connection = connection_of(settings, f"{self.run}.worker-{slot}")
        looking = self.look(settings)
        require_dimension(connection, looking.embedder.dimension, settings.vision.embedder_model)
        registry = CollectorRegistry()
        # one for both, so that a camera is counted under the same name wherever it is shown
        places = Places(settings.metrics.per_camera_limit)
        telemetry = PrometheusTelemetry(registry, places)
        trace = Trace(telemetry)
        ledger = Ledger(places.label, telemetry)
        outbox = KafkaOutbox(
            connection,
            topic=FRAMES,
            transactional_id=transactional_id(self.run, slot),
            transaction_timeout=settings.kafka.transaction_timeout_seconds,
        )
        settlement = Settlement(
            gallery=self._gallery(telemetry),
            outbox=outbox,
            history=KafkaAlertHistory(connection, topic=ALERTS, decode=_cooldown_of),
            criteria=Criteria(
                threshold=_or_shipped(settings.matching.threshold, looking.threshold),
                top_k=settings.matching.top_k,
                embedder_version=looking.embedder.version,
                run=self.run,
                slot=slot,
            ),
            cooldown_seconds=settings.matching.cool_down_seconds,
            clock=clock,
            ledger=ledger,
            trace=trace,
        )
        intake = Intake(
            decode=looking.decode,
            threads=settings.batch.decode_threads or threads_of(settings),
            overload=Overload(Policy(settings.overload.policy), int(settings.overload.max_age_seconds * 1e9)),
            clocks=ClockTrust(int(settings.overload.clock_tolerance_seconds * 1e9)),
            clock=clock,
        )
        loop = BatchLoop(
            open_source=SourceOpening(connection, settings),
            intake=intake,
            sight=Sight(detector=looking.detector, align=looking.align, embedder=looking.embedder, trace=trace),
            settlement=settlement,
            telemetry=telemetry,
            trace=trace,
        )
        server = serve(registry, settings.metrics.host)

        def close() -> None:
            try:
                outbox.close()
            finally:
                server.stop()

        freeze_heap()
        return WorkerParts(loop, ledger, trace, server.port, close)

    def _gallery(self, telemetry: Telemetry) -> RayGallery:
        matching = self.settings.matching
        return RayGallery(
            namespace=self.run,
            shards=matching.shards,
            replicas=matching.replicas,
            deadline_seconds=matching.search_deadline_seconds,
            on_shard_loss=matching.on_shard_loss,
            telemetry=telemetry,
        )


@dataclass(frozen=True)
class SourceOpening:
    """Opens the frame source in the thread that will use it; see `pipeline.actors.batch_loop.OpenSource`."""

    connection: Connection
    settings: Settings

    def __call__(self, assigned: Assigned, revoked: Revoked, lost: Revoked) -> FrameSource:
        """A member of the run's group."""
        return KafkaFrameSource(
            self.connection,
            topic=FRAMES,
            group=self.settings.run.group,
            assigned=assigned,
            revoked=revoked,
            lost=lost,
            batch_limit=self.settings.batch.limit,
            linger=self.settings.batch.linger_ms / 1000,
            group_protocol=self.settings.kafka.group_protocol,
        )


def device_of(settings: Settings) -> str:
    """The torch device of a worker; raises SettingsError for a GPU that is not there.

    Ray shows a worker the GPU that it has a share of and no other, so that is number 0 whichever the machine calls it.
    """
    import torch  # noqa: PLC0415  # loads in workers only

    chosen = settings.vision.device
    if chosen == "cpu":
        return chosen
    if torch.cuda.is_available():
        return "cuda:0"
    if chosen == "auto":
        return "cpu"
    raise SettingsError(f"vision.device is {chosen}, but torch sees no GPU here; set it to cpu or auto")


def with_absolute_models(settings: Settings) -> Settings:
    """With the paths of networks absolute: actors have another working folder."""
    vision = settings.vision
    paths = {
        name: path.absolute()
        for name in ("weights", "embedder_model", "detector_model")
        if (path := getattr(vision, name)) is not None
    }
    return settings.model_copy(update={"vision": vision.model_copy(update=paths)}) if paths else settings


def with_absolute_security(settings: Settings) -> Settings:
    """With the paths of password and certificate files absolute, as `with_absolute_models`."""
    kafka = settings.kafka
    return settings.model_copy(
        update={"kafka": kafka.model_copy(update={"security": kafka.security.with_absolute_paths()})}
    )


def threads_of(settings: Settings) -> int:
    """Compute threads of one worker: as set, or its share of the cores that this process may use."""
    return settings.vision.threads or max(1, len(os.sched_getaffinity(0)) // settings.most_workers)


def run_plan(
    settings: Settings,
    run: str,
    look: Callable[[Settings], Looking] = shipped_looking,
    *,
    gpus: int = 0,
    grows: bool = False,
) -> RunPlan:
    """What the supervisor of `run` keeps alive; `look` gives its workers their eyes.

    `gpus` is the number that Ray has, `grows` whether it may get more. Raises SettingsError if workers want a GPU that
    they would never get, ModelError if the manifest of a model of the user's own cannot be used.
    """
    settings = with_absolute_security(with_absolute_models(settings))
    dimension_of(settings)  # a manifest that cannot be used is refused here, before any process is started
    vision = settings.vision
    most, field = settings.most_workers, settings.most_workers_field
    matching = settings.matching
    on_gpu, replicas = matching.index in GPU_INDEXES, matching.shards * matching.replicas
    search_share = search_gpu_share(matching.index, on_gpu, replicas, gpus, grows=grows)
    searching = replicas if on_gpu else 0
    share = gpu_share(vision.device, vision.gpu_share, most, gpus, grows=grows, field=field, searching=searching)
    return RunPlan(
        run=run,
        workers=settings.least_workers,
        shards=settings.matching.shards,
        replicas=settings.matching.replicas,
        make_worker=WorkerFactory(settings, run, look),
        make_shard=ShardFactory(settings, run),
        lease_seconds=settings.lifecycle.lease_seconds,
        heartbeat=Heartbeat(settings),
        heartbeat_seconds=HEARTBEAT_SECONDS,
        worker_options={"num_gpus": share} if share else {},
        shard_options=shard_options(search_share),
        elastic=elastic_plan(settings, run),
    )


def _or_shipped(chosen: float | None, shipped: float) -> float:
    return shipped if chosen is None else chosen


def _cooldown_of(record: ConsumedRecord) -> tuple[str, str, int]:
    return alert_wire.cooldown_key(record.value, record.headers)
