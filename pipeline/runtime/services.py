"""Kafka and Ray for a command: the ones that the settings name, or local ones that end with it."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pipeline.catalog.indexes import GPU_INDEXES
from pipeline.errors import BrokerError, ClusterError, LamppostError, ResourceError
from pipeline.local.kafka import LocalKafka
from pipeline.local.machine import cores
from pipeline.local.ray import LocalRay
from pipeline.runtime.gpus import local_gpus
from pipeline.runtime.settings import Security, Settings

THREADS_OF_ACTORS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Libraries that would each take all cores for themselves; torch and FAISS are told their number apart."""
MEMORY_OF_ACTORS = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 1024**2),
}
"""Has glibc give a batch the pages of the batch before it. As it comes, a picture that one thread decodes and another
frees goes back to the system, and the next one has all its pages faulted in and zeroed again."""
FULL_DISK = "No space left"


class StartGivenUp(Exception):
    """The command ended before its Kafka was there."""


@dataclass
class Services:
    """Kafka and Ray as they come up, in parallel."""

    settings: Settings
    """With the brokers' address filled in, once `kafka_ready`."""
    ray: LocalRay | None
    kafka: LocalKafka | None
    _kafka_start: "Future[None] | None"

    @property
    def kafka_ready(self) -> bool:
        """Whether Kafka can be used; raises what went wrong with its start, if something did."""
        if self._kafka_start is None:
            return True
        if not self._kafka_start.done():
            return False
        self._kafka_start.result()
        return True

    @property
    def ray_ready(self) -> bool:
        """Whether Ray can be used; raises ClusterError if a local one ended while it started, or took too long."""
        return self.ray is None or self.ray.answers()

    @property
    def ray_address(self) -> str:
        """Where Ray is, once `ray_ready`."""
        return self.settings.run.ray or "auto" if self.ray is None else self.ray.address

    def check(self) -> None:
        """Raise if a local service has ended by itself."""
        if self.kafka is not None and self.kafka_ready and not self.kafka.alive():
            raise kafka_ended(self.kafka.address, self.kafka.last_log_line())
        if self.ray is not None and self.ray.address and not self.ray.alive():
            raise ClusterError(f"the local Ray at {self.ray.address} ended in mid-run: {self.ray.last_log_line()}")


def kafka_ended(address: str, said: str) -> LamppostError:
    """What it is when a local Kafka ended by itself; `said` is the line of its log that tells best why."""
    if FULL_DISK in said:
        return ResourceError(
            f"the local Kafka at {address} ended because its disk is full ({said}); "
            f"free some, or set TMPDIR to a folder with room"
        )
    return BrokerError(f"the local Kafka at {address} ended in mid-run: {said}")


def _device_of_ray(settings: Settings) -> str:
    """`vision.device`, unless the search alone is what wants a GPU."""
    searching = settings.vision.device == "cpu" and settings.matching.index in GPU_INDEXES
    return "auto" if searching else settings.vision.device


@contextmanager
def services(settings: Settings, say: Callable[[str], None], verbose: bool = False) -> Iterator[Services]:
    """Start what the settings do not name; Ray's environment is set before anything imports Ray.

    `say` is told how far the first download of Kafka is; leaving the block ends that. Raises SettingsError if the
    settings want a GPU that is not there.
    """
    with ExitStack() as stack:
        ray = None
        if settings.run.ray is None:
            gpus = local_gpus(_device_of_ray(settings))
            ray = LocalRay(
                cpus=cores(),
                gpus=gpus.number,
                worker_logs=verbose,
                environment={**THREADS_OF_ACTORS, **MEMORY_OF_ACTORS, **gpus.environment},
                start_seconds=settings.lifecycle.start_seconds,
            )
            os.environ.update(ray.environment)
            ray.start()
            stack.callback(ray.stop)
        result = Services(settings, ray, None, None)
        if settings.kafka.brokers is None:
            given_up = threading.Event()

            def news(words: str) -> None:
                if given_up.is_set():
                    raise StartGivenUp
                say(words)

            kafka = result.kafka = LocalKafka(
                nodes=settings.kafka.nodes,
                progress=lambda done, total: news(f"Kafka is being fetched: {100 * done // max(1, total)} %"),
                notice=news,
            )
            starter = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="kafka"))
            stack.callback(given_up.set)

            def start() -> None:
                kafka.start()
                stack.callback(kafka.stop)
                kafka.wait(settings.lifecycle.start_seconds)
                # whatever a Kafka of the user's own asks for, this one speaks in clear on the loopback interface
                local = settings.kafka.model_copy(update={"brokers": kafka.address, "security": Security()})
                result.settings = settings.model_copy(update={"kafka": local})

            result._kafka_start = starter.submit(start)
        yield result
