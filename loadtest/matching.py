"""How fast the watchlist is searched, here: `python -m loadtest.matching` (no Kafka, no Ray).

For each number of entries, each batch and each kind of index it prints queries per second of one core, the share of
the rate at which the same BLAS that numpy uses multiplies the same matrices, the ratio to `IndexFlatIP` of the
installed FAISS as it comes, and how often the best entry is found; then what it took to build and to hold. Searches run
in one thread of one process and take turns, and their time is CPU time, so that a busy machine slows all alike;
figures are medians over passes. Templates and probes are those of `loadtest.templates`. Kinds that need a GPU are
measured where FAISS has one, on the CPU's clock too, which leaves out what the GPU does meanwhile.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import msgspec
import numpy as np
import psutil
import typer
from numpy.typing import NDArray
from rich.console import Console

from loadtest.command import writable
from loadtest.kernels import Work, processor, take_turns
from loadtest.matching_figures import DEFAULT, NEAREST, SGEMM, Built, Figure, Report, Sharded, show
from loadtest.templates import DIMENSION, Population
from pipeline.catalog.indexes import GPU_INDEXES, IndexKind
from pipeline.core.merge import merge
from pipeline.local.machine import cores
from pipeline.matching.approximate import ApproximateIndex
from pipeline.matching.block import MARGIN, compile_search
from pipeline.matching.engine import faiss, nearest
from pipeline.matching.gpu import lacking
from pipeline.matching.index import InnerProductIndex
from pipeline.matching.kinds import make_index
from pipeline.matching.shard import FaissShard
from pipeline.records import Probes, ShardReply, WatchlistEntry

BATCHES: Final = (1, 32, 256)
ROWS: Final = (10_000, 100_000, 1_000_000)
SEED: Final = 1
PART_ROWS: Final = 100_000
"""Rows of one matrix product at most, which bounds the memory of its result."""
THREAD_VARIABLES: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
NEVER_SECONDS: Final = 1e9


def fill(indexes: list[InnerProductIndex], templates: NDArray[np.float32]) -> None:
    """Put the templates into the indexes in turn, with ids as long as names are."""
    for number, template in enumerate(templates):
        entry = WatchlistEntry(f"person-{number:08d}", template, f"case/{number:08d}")
        indexes[number % len(indexes)].put(entry)
    for index in indexes:
        index.publish(1)


def shards_of(templates: NDArray[np.float32], shards: int) -> list[FaissShard]:
    """Exact shards that hold the templates in turn."""
    indexes = [InnerProductIndex(DIMENSION) for _ in range(shards)]
    fill(indexes, templates)
    return [FaissShard(number, index) for number, index in enumerate(indexes)]


def default_of(templates: NDArray[np.float32]) -> Any:
    """FAISS's exact index with a copy of the templates."""
    index = faiss().IndexFlatIP(DIMENSION)
    index.add(templates)
    return index


def search(shards: list[FaissShard], probes: Probes, k: int) -> list[ShardReply]:
    """Ask one shard after another."""
    return [shard.search(probes, k) for shard in shards]


def multiply(probes: NDArray[np.float32], templates: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """All products, into `out` float32[N,m], which takes those of m rows at a time."""
    for first in range(0, len(templates), out.shape[1]):
        rows = templates[first : first + out.shape[1]]
        np.matmul(probes, rows.T, out=out if len(rows) == out.shape[1] else out[:, : len(rows)])


def best(probes: NDArray[np.float32], templates: NDArray[np.float32]) -> NDArray[np.int64]:
    """The row int64[N] of the greatest float64 product of each probe."""
    exact = probes.astype(np.float64)
    greatest, rows = np.full(len(probes), -np.inf), np.zeros(len(probes), np.int64)
    for first in range(0, len(templates), PART_ROWS):
        products = exact @ templates[first : first + PART_ROWS].astype(np.float64).T
        highest = products.argmax(axis=1)
        found = np.take_along_axis(products, highest[:, None], axis=1)[:, 0]
        better = found > greatest
        greatest[better], rows[better] = found[better], first + highest[better]
    return rows


class Bench:
    """Entries, held once in a shard of each kind, once in FAISS's index and once as a plain array."""

    def __init__(self, entries: int, kinds: list[IndexKind], k: int, seconds: float, build_threads: int) -> None:
        people = Population(SEED)
        self._templates = people.templates(entries)
        probes = people.probes(self._templates, max(BATCHES)), people.templates(max(BATCHES))
        self._mated, self._non_mated = probes
        self._best = [best(each, self._templates) for each in probes]
        self._k = min(k, entries)
        self._seconds = seconds
        self.built: list[Built] = []
        self._shards = {kind: self._shard(kind, build_threads) for kind in kinds}
        self._default = self._add(DEFAULT, partial(default_of, self._templates))

    def figures(self) -> Iterator[Figure]:
        """Yield the rows of every batch."""
        kinds = [SGEMM, DEFAULT, NEAREST, *self._shards]
        recalls = {kind: self._recalls(kind) for kind in kinds}
        for batch in BATCHES:
            probes = Probes(self._mated[:batch].copy(), np.zeros(batch, np.int64))
            times = self._times(probes)
            for kind in kinds:
                rate = batch / times[kind]
                share, ratio = times[SGEMM] / times[kind], times[DEFAULT] / times[kind]
                yield Figure(kind, len(self._templates), batch, rate, share, ratio, *recalls[kind])

    def sharded(self, shards: int) -> Sharded:
        """Measure several exact shards against one, at the largest batch."""
        one, several = shards_of(self._templates, 1), shards_of(self._templates, shards)
        probes = Probes(self._mated, np.zeros(len(self._mated), np.int64))
        replies = search(several, probes, self._k)
        merged = merge(replies, len(self._mated), self._k, shards)
        alone = merge(search(one, probes, self._k), len(self._mated), self._k, 1)
        works: dict[str, Work] = {
            "one": partial(search, one, probes, self._k),
            "all": partial(search, several, probes, self._k),
            "merge": partial(merge, replies, len(self._mated), self._k, shards),
        }
        ms = {name: 1e3 * cpu for name, (_, cpu) in take_turns(works, self._seconds).items()}
        same = merged.candidates == alone.candidates
        return Sharded(len(self._templates), shards, len(self._mated), ms["one"], ms["all"], ms["merge"], same)

    def _times(self, probes: Probes) -> dict[str, float]:
        """CPU seconds of one pass of each kind."""
        faiss().omp_set_num_threads(1)
        rows = self._templates
        out = np.empty((len(probes.templates), min(len(rows), PART_ROWS)), np.float32)
        works: dict[str, Work] = {
            SGEMM: partial(multiply, probes.templates, rows, out),
            DEFAULT: partial(self._default.search, probes.templates, self._k),
            NEAREST: partial(nearest, probes.templates, rows, min(self._k + MARGIN, len(rows)), 1),
            **{kind: partial(shard.search, probes, self._k) for kind, shard in self._shards.items()},
        }
        return {kind: cpu for kind, (_, cpu) in take_turns(works, self._seconds).items()}

    def _recalls(self, kind: str) -> list[float | None]:
        """Of mated probes and of others."""
        if kind == SGEMM:
            return [None, None]
        probes = (self._mated, self._non_mated)
        return [float(np.mean(self._found(kind, each) == row)) for each, row in zip(probes, self._best, strict=True)]

    def _found(self, kind: str, probes: NDArray[np.float32]) -> NDArray[np.int64]:
        """The row int64[N] that a kind ranks first for each probe."""
        if kind == NEAREST:
            return nearest(probes, self._templates, 1, 1)[1][:, 0]
        if kind == DEFAULT:
            rows: NDArray[np.int64] = self._default.search(probes, 1)[1][:, 0]
            return rows
        reply = self._shards[kind].search(Probes(probes, np.zeros(len(probes), np.int64)), self._k)  # type: ignore[index]  # one of the kinds
        return np.array([int(first.entry.rpartition("-")[2]) for first, *_ in reply.candidates])

    def _shard(self, kind: IndexKind, build_threads: int) -> FaissShard:
        def made() -> InnerProductIndex:
            index = make_index(kind, DIMENSION, threads=1, rebuild_seconds=NEVER_SECONDS, build_threads=build_threads)
            fill([index], self._templates)
            return index

        index = self._add(kind, made)
        if isinstance(index, ApproximateIndex):
            before, wall, cpu = psutil.Process().memory_info().rss, time.perf_counter(), time.process_time()
            index.rebuild()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            added = self.built.pop()
            grown = added.mib + (psutil.Process().memory_info().rss - before) / 2**20
            self.built.append(Built(kind, added.entries, added.seconds, grown, cpu, wall))
        return FaissShard(0, index)

    def _add(self, kind: str, build: Callable[[], Any]) -> Any:
        gc.collect()
        process = psutil.Process()
        before, began = process.memory_info().rss, time.process_time()
        made = build()
        seconds, grown = time.process_time() - began, process.memory_info().rss - before
        self.built.append(Built(kind, len(self._templates), seconds, grown / 2**20))
        return made


def measured_kinds(chosen: list[str] | None) -> list[IndexKind]:
    """The kinds that are chosen, or all that FAISS has here; raises BadParameter for one that it has not."""
    kinds: tuple[IndexKind, ...] = get_args(IndexKind)
    absent = {kind: problem for kind, name in GPU_INDEXES.items() if (problem := lacking(name))}
    if chosen is None:
        return [kind for kind in kinds if kind not in absent]
    for each in chosen:
        if each not in kinds:
            raise typer.BadParameter(f"{each} is no kind of index; take of {', '.join(kinds)}")
        if each in absent:
            raise typer.BadParameter(f"{each} cannot be measured: {absent[each]}")
    return [kind for kind in kinds if kind in chosen]


def main(  # noqa: PLR0917  # a command's parameters are its options
    rows: Annotated[list[int] | None, typer.Option(min=1, help="Entries; repeat for several.")] = None,
    index: Annotated[list[str] | None, typer.Option(help="Kind of index; repeat for several. All that can be.")] = None,
    k: Annotated[int, typer.Option(min=1, max=16, help="Candidates of each probe.")] = 10,
    shards: Annotated[int, typer.Option(min=1, help="Compare as many exact shards with one; 1: compare none.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.01, help="Time of each kind, number of entries and batch.")] = 0.5,
    build_threads: Annotated[int | None, typer.Option(min=1, help="Threads of a build; all cores.")] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", callback=writable, help="Write the figures to this file, too.")
    ] = None,
) -> None:
    """Measure searches of the watchlist on this machine, in one thread."""
    unset = [name for name in THREAD_VARIABLES if os.environ.get(name) != "1"]
    if unset:
        raise typer.BadParameter(f"set {' and '.join(f'{name}=1' for name in unset)}: BLAS reads it as it is loaded")
    kinds, threads = measured_kinds(index), build_threads or cores()
    compile_search()
    figures: list[Figure] = []
    built: list[Built] = []
    sharded: list[Sharded] = []
    for entries in rows or ROWS:
        bench = Bench(entries, kinds, k, seconds, threads)
        built.extend(bench.built)
        figures.extend(bench.figures())
        if shards > 1:
            sharded.append(bench.sharded(shards))
    versions = str(faiss().__version__), np.__version__
    report = Report(processor(), threads, *versions, k, figures, built, sharded)
    show(report, Console())
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


if __name__ == "__main__":
    typer.run(main)
