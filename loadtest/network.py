"""A run to put under load: one worker and one shard on a core of their own, Kafka and the rest of Ray on the others."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import psutil

from loadtest.overload_figures import Sample
from pipeline.actors.report import WorkReport
from pipeline.catalog.topics import FRAMES
from pipeline.errors import ClusterError
from pipeline.runtime.connections import connection_of
from pipeline.runtime.services import Services, services
from pipeline.runtime.settings import Matching, Overload, Run, Settings, Vision
from pipeline.runtime.topics import create
from pipeline.streams.client import Connection
from pipeline.streams.commits import GroupCommits
from pipeline.vision.forward import Precision

if TYPE_CHECKING:
    from pipeline.actors.run_plan import RunStatus
    from pipeline.runtime.supervision import Supervision

LOOK_SECONDS: Final = 0.1
START_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Network:
    """A run that is up."""

    settings: Settings
    connection: Connection
    supervision: "Supervision"

    def status(self) -> "RunStatus":
        """The run now; raises ClusterError if it failed, or if a process had to be replaced."""
        status = self.supervision.status()
        if status.failure:
            raise ClusterError(status.failure)
        if status.replaced:
            raise ClusterError(f"a process was replaced: {status.last_replaced}")
        return status

    def look(self, sent: int) -> tuple[Sample, WorkReport]:
        """A sample of the run, of which the broker has acknowledged `sent` frames, and its report."""
        status = self.status()
        work = msgspec.msgpack.decode(status.work, type=WorkReport)
        try:
            resident = sum(psutil.Process(pid).memory_info().rss for pid in working_pids(status))
        except psutil.NoSuchProcess as error:
            raise ClusterError(f"a worker or a shard died: {error}") from error
        return Sample(time.monotonic(), sent, dict(work.outcomes), work.batches, resident), work

    def stop(self) -> WorkReport:
        """End the run when what is in hand is finished, and return its last report."""
        final = self.supervision.stop(self.settings.lifecycle.drain_seconds)
        if final.failure:
            raise ClusterError(final.failure)
        return msgspec.msgpack.decode(final.work, type=WorkReport)

    def committed(self) -> int:
        """Frames that the run's group has committed, on a Kafka where nobody else did."""
        commits = GroupCommits(self.connection, topic=FRAMES, group=str(self.settings.run.group))
        try:
            return sum(commits.offsets(range(self.settings.run.partitions)).values())
        finally:
            commits.close()


def small_settings(name: str, precision: Precision, policy: Literal["shed-oldest", "block"]) -> Settings:
    """Settings of such a run under a name."""
    return Settings(
        run=Run(name=name, group=name, workers=1, partitions=4),
        matching=Matching(shards=1),
        overload=Overload(policy=policy),
        vision=Vision(threads=1, precision=precision),
    )


@contextmanager
def running(settings: Settings, say: Callable[[str], None]) -> Iterator[Network]:
    """Start Kafka, Ray and the run, and end them with the block."""
    available = sorted(os.sched_getaffinity(0))
    alone, rest = frozenset(available[-1:]), frozenset(available[:-1] or available)
    name = str(settings.run.name)
    with ExitStack() as stack:
        up = stack.enter_context(services(settings, say))
        await_services(up)
        connection = connection_of(up.settings, f"lamppost-{name}")
        create(up.settings)
        from pipeline.runtime.composition import run_plan  # noqa: PLC0415  # Ray reads its environment when imported
        from pipeline.runtime.supervision import cluster_gpus, connected, supervised  # noqa: PLC0415  # as above

        stack.enter_context(connected(up.ray_address, name, verbose=False))
        supervision = stack.enter_context(supervised(run_plan(up.settings, name, gpus=cluster_gpus())))
        network = Network(up.settings, connection, supervision)
        deadline = time.monotonic() + START_SECONDS
        while not (status := network.status()).ready:
            if time.monotonic() > deadline:
                raise ClusterError(f"the run was not ready after {START_SECONDS:.0f} s")
            time.sleep(LOOK_SECONDS)
        # all of Ray and this process to the others, and then worker and shard out of them
        before = os.sched_getaffinity(0)
        stack.callback(os.sched_setaffinity, 0, before)
        for process in psutil.Process().children(recursive=True):
            pin(process.pid, rest)
        if up.kafka is not None:
            pin(up.kafka.pid, rest)
        pin(os.getpid(), rest)
        for pid in working_pids(status):
            pin(pid, alone)
        say(f"worker and shard on core {available[-1]} of {available}, Kafka, Ray and the feed on the rest")
        yield network


def await_services(up: Services) -> None:
    """Wait until Kafka and Ray are there; raises what they failed with."""
    while not (up.kafka_ready and up.ray_ready):
        up.check()
        time.sleep(LOOK_SECONDS)


def working_pids(status: "RunStatus") -> list[int]:
    """The processes of workers and shards."""
    return [each.pid for each in status.workers] + [each.pid for each in status.shards]


def pin(pid: int, cores: frozenset[int]) -> None:
    """Bind every thread of a process to `cores`; affinity belongs to threads, and new ones inherit it."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # a thread that has just ended
            os.sched_setaffinity(int(task.name), cores)
