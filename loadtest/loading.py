"""How long shards take to load a long watchlist, and a change to take effect in it: `python -m loadtest.loading`.

A local Kafka's watchlist topic is filled with entries, a million unless told otherwise, as `lamppost watchlist load`
does it. Then a supervisor starts the shards as in every run, without workers, and each reads the topic to its end, of
which it decodes its own entries. Once all serve, entries are added and removed one by one, and a gallery, which is how
workers search, asks until the answer shows it. The rows of the table are seconds of the wall clock.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, get_args

import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from loadtest.command import between, conclude
from loadtest.network import await_services
from loadtest.templates import DIMENSION, Population
from pipeline.catalog.indexes import IndexKind
from pipeline.errors import ClusterError
from pipeline.records import OutgoingRecord, Probes, WatchlistEntry
from pipeline.runtime.connections import connection_of
from pipeline.runtime.services import services
from pipeline.runtime.settings import Matching, Run, Settings
from pipeline.runtime.topics import create
from pipeline.streams.client import Connection
from pipeline.streams.writer import RecordWriter
from pipeline.testing.telemetry import FakeTelemetry
from pipeline.wire.watchlist import encode, encode_removal

if TYPE_CHECKING:
    from pipeline.actors.gallery import RayGallery
    from pipeline.actors.run_plan import RunStatus
    from pipeline.runtime.supervision import Supervision

SEED: Final = 1
CHUNK: Final = 5_000
CHANGES: Final = 20
LOOK_SECONDS: Final = 0.1
LOAD_TARGET, CHANGE_TARGET = 60.0, 1.0
PATIENCE_SECONDS: Final = 600.0
SAME: Final = 0.999
"""Cosine from which a candidate is who was added."""


class Figure(msgspec.Struct, frozen=True):
    """One measured quantity."""

    name: str
    value: float
    unit: str
    target: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the value is at most the target; None without one."""
        return None if self.target is None else self.value <= self.target


def line(figure: Figure) -> str:
    """One figure in a line, with its target."""
    said = f"{figure.name}: {figure.value:,.{2 if figure.unit == 's' else 0}f} {figure.unit}"
    if figure.target is None:
        return said
    return f"{said}; target {figure.target:g} {figure.unit}: {'reached' if figure.reached else 'MISSED'}"


def entry_record(number: int, template: NDArray[np.float32]) -> OutgoingRecord:
    """The record of an entry, with an id and a reference as long as they are in use."""
    return encode(WatchlistEntry(f"person-{number:08d}", template, f"case/{number:08d}"), DIMENSION)


def publish(connection: Connection, entries: int, told: Callable[[int], None]) -> Population:
    """Write that many entries to the topic; returns the people whom further ones can be drawn from."""
    people, writer = Population(SEED), RecordWriter(connection)
    try:
        for first in range(0, entries, CHUNK):
            some = people.templates(min(CHUNK, entries - first))
            writer.write([entry_record(first + number, template) for number, template in enumerate(some)])
            told(first + len(some))
    finally:
        writer.close()
    return people


def awaited(
    what: str, supervision: "Supervision", ready: Callable[["RunStatus"], bool], told: Callable[[int], None]
) -> "RunStatus":
    """Wait until a run is ready, and tell how many records its shards have read together; its status then."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        status = supervision.status()
        if status.failure:
            raise ClusterError(status.failure)
        told(sum(min(each.version + 1, each.end) for each in status.shards))
        if ready(status):
            return status
        time.sleep(LOOK_SECONDS)
    raise ClusterError(f"{what} took more than {PATIENCE_SECONDS:.0f} s")


def taken_effect(gallery: "RayGallery", template: NDArray[np.float32], there: bool) -> float:
    """Search until the template is found, or is not found any more; returns the seconds that took."""
    began = time.perf_counter()
    probes = Probes(template[None], np.array([time.time_ns()], np.int64))
    while time.perf_counter() - began < PATIENCE_SECONDS:
        (candidates,) = gallery.search(probes, 3).candidates
        if (bool(candidates) and candidates[0].score > SAME) == there:
            return time.perf_counter() - began
    raise ClusterError(f"a change did not take effect within {PATIENCE_SECONDS:.0f} s")


def changes(gallery: "RayGallery", connection: Connection, people: Population, first: int) -> list[Figure]:
    """Add and remove entries one by one; from when the record is handed to Kafka until a search shows it."""
    added, removed, writer = [], [], RecordWriter(connection)
    try:
        for number, template in enumerate(people.templates(CHANGES), first):
            record = entry_record(number, template)
            began = time.perf_counter()
            writer.write([record])
            written = time.perf_counter() - began
            added.append(written + taken_effect(gallery, template, there=True))
            began = time.perf_counter()
            writer.write([encode_removal(f"person-{number:08d}")])
            written = time.perf_counter() - began
            removed.append(written + taken_effect(gallery, template, there=False))
    finally:
        writer.close()
    return [
        Figure("median time until an addition is found", median(added), "s"),
        Figure("longest time until an addition is found", max(added), "s", CHANGE_TARGET),
        Figure("longest time until a removal is not found", max(removed), "s", CHANGE_TARGET),
    ]


def measure(settings: Settings, entries: int, bars: Progress) -> list[Figure]:
    """Fill the topic of a Kafka of its own, start the shards on a Ray of its own, and change entries."""
    name, shards = str(settings.run.name), settings.matching.shards

    def bar(what: str, total: int) -> Callable[[int], None]:
        task = bars.add_task(what, total=total)
        return lambda done: bars.update(task, completed=done)

    with services(settings, bars.console.print) as up:
        await_services(up)
        connection = connection_of(up.settings, f"lamppost-{name}")
        create(up.settings)
        began = time.perf_counter()
        people = publish(connection, entries, bar("published", entries))
        published = time.perf_counter() - began
        from pipeline.actors.gallery import RayGallery  # noqa: PLC0415  # Ray reads its environment when imported
        from pipeline.runtime.composition import run_plan  # noqa: PLC0415  # as above
        from pipeline.runtime.supervision import cluster_gpus, connected, supervised  # noqa: PLC0415  # as above

        with connected(up.ray_address, name, verbose=False):
            plan = replace(run_plan(up.settings, name, gpus=cluster_gpus()), workers=0)
            began = time.perf_counter()
            with supervised(plan) as supervision:
                told = bar("records read by all shards", shards * entries)
                status = awaited("loading", supervision, lambda status: status.ready, told)
                loaded = time.perf_counter() - began
                awaited("building", supervision, lambda status: all(each.settled for each in status.shards), told)
                built = time.perf_counter() - began - loaded
                held = [each.entries for each in status.shards]
                if sum(held) != entries:
                    raise ClusterError(f"the shards hold {sum(held):,} of {entries:,} entries")
                processes = [psutil.Process(each.pid) for each in status.shards]
                cpu = [sum(each.cpu_times()[:2]) for each in processes]
                resident = [each.memory_info().rss for each in processes]
                gallery = RayGallery(
                    namespace=name,
                    shards=shards,
                    replicas=1,
                    deadline_seconds=settings.matching.search_deadline_seconds,
                    on_shard_loss="wait",
                    telemetry=FakeTelemetry(),
                )
                found = changes(gallery, connection, people, entries)
    return [
        Figure(f"time to publish {entries:,} entries", published, "s"),
        Figure(f"time until {shards} shards serve {entries:,} entries, processes and all", loaded, "s", LOAD_TARGET),
        Figure("time until all indexes are built after that", built, "s"),
        Figure("CPU time of all shards until then", sum(cpu), "s"),
        Figure("resident memory of the largest shard", max(resident) / 2**20, "MiB"),
        *found,
    ]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.loading", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--entries", type=between(int, 1, 100_000_000), default=1_000_000, help="of the watchlist (1000000)"
    )
    parser.add_argument("--shards", type=between(int, 1, 1_000), default=4, help="that hold it together (4)")
    parser.add_argument(
        "--index",
        choices=get_args(IndexKind),
        default="flat",
        help="kind, as matching.index (flat)",
    )
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the load test; returns 0 if every target was reached, 1 if not, the error's code if it failed."""
    chosen = options(arguments)
    settings = Settings(run=Run(name="loading"), matching=Matching(shards=chosen.shards, index=chosen.index))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        run = {"entries": chosen.entries, "shards": chosen.shards, "index": chosen.index}
        return conclude(lambda: measure(settings, chosen.entries, bars), line, run, chosen.json)


if __name__ == "__main__":
    sys.exit(main())
