"""The composition root of a watchlist shard, and of the heartbeat that keeps its topic compacting."""

import os
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry

from pipeline.actors.watchlist_shard import ShardParts
from pipeline.catalog.indexes import GPU_INDEXES
from pipeline.catalog.topics import WATCHLIST
from pipeline.core.replicas import Replica
from pipeline.errors import SettingsError
from pipeline.matching.gpu import lacking
from pipeline.matching.index import InnerProductIndex
from pipeline.matching.kinds import make_index
from pipeline.matching.shard import FaissShard
from pipeline.matching.view import WatchlistView
from pipeline.runtime.connections import connection_of
from pipeline.runtime.dimensions import dimension_of
from pipeline.runtime.heap import freeze_heap
from pipeline.runtime.settings import Settings
from pipeline.streams.reader import TopicReader
from pipeline.streams.writer import RecordWriter
from pipeline.telemetry.places import Places
from pipeline.telemetry.prometheus import PrometheusTelemetry
from pipeline.telemetry.server import serve
from pipeline.wire.watchlist import encode_heartbeat

OVERWRITING_ALLOCATOR: Final = "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0"
"""Has glibc overwrite whatever is freed, even what it would keep at hand for the thread: the Kafka client frees the
records that it received, templates in them, as they are. It is read when a process starts."""


@dataclass(frozen=True)
class ShardFactory:
    """Builds the parts of a watchlist shard's replica in its own process."""

    settings: Settings
    run: str

    def __call__(self, replica: Replica) -> ShardParts:
        """The parts of one replica of a shard; raises LamppostError if one of them can't be had."""
        settings = self.settings
        dimension = dimension_of(settings)
        index = index_of(settings, dimension)
        shard = FaissShard(replica.shard, index)
        view = WatchlistView(index, shard=replica.shard, shards=settings.matching.shards, dimension=dimension)
        registry = CollectorRegistry()
        telemetry = PrometheusTelemetry(registry, Places(settings.metrics.per_camera_limit))
        feed = TopicReader(connection_of(settings, f"{self.run}.{replica.name}"), WATCHLIST, state=True)
        try:
            server = serve(registry, settings.metrics.host)
        except BaseException:
            feed.close()
            raise

        def close() -> None:
            feed.close()
            server.stop()

        freeze_heap()
        return ShardParts(shard, feed, view, telemetry, server.port, close)


def shard_options(gpu_share: float = 0.0) -> dict[str, Any]:
    """Ray's options for the process of a replica, which takes that share of a GPU."""
    options: dict[str, Any] = {"runtime_env": {"env_vars": {"GLIBC_TUNABLES": OVERWRITING_ALLOCATOR}}}
    return options | ({"num_gpus": gpu_share} if gpu_share else {})


@dataclass(frozen=True)
class Heartbeat:
    """Writes one heartbeat record to the watchlist topic, since an idle topic is never compacted."""

    settings: Settings

    def __call__(self) -> None:
        """Write and wait for the broker; raises BrokerError if it did not take the record."""
        writer = RecordWriter(connection_of(self.settings, "lamppost-heartbeat"))
        try:
            writer.write([encode_heartbeat()])
        finally:
            writer.close()


def index_of(settings: Settings, dimension: int) -> InnerProductIndex:
    """An empty index of the kind that is set; raises SettingsError if this machine or FAISS cannot have it."""
    kind = settings.matching.index
    if kind in GPU_INDEXES and (problem := lacking(GPU_INDEXES[kind])):
        raise SettingsError(
            f"matching.index is {kind}, but {problem}; otherwise set it to flat, hnsw or ivf-pq-fastscan"
        )
    return make_index(
        kind,
        dimension,
        threads=search_threads_of(settings),
        rebuild_seconds=settings.matching.rebuild_seconds,
    )


def search_threads_of(settings: Settings) -> int:
    """Compute threads of one search: a shard's share of the cores that this process may use."""
    processes = settings.most_workers + settings.matching.shards * settings.matching.replicas
    return max(1, len(os.sched_getaffinity(0)) // processes)
