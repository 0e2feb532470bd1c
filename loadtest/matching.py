"""How fast the watchlist is searched, here: `OPENBLAS_NUM_THREADS=1 python -m loadtest.matching` (no Kafka, no Ray).

For each number of entries and each batch it prints queries per second of one core, the share of the rate at which the
same BLAS that numpy uses multiplies the same matrices, and the ratio to `IndexFlatIP` of the installed FAISS as it
comes. Templates and probes are random unit vectors from a seed: exact search takes as long for these as for faces.
Everything runs in one thread of one process and takes turns, and time is CPU time, so that a busy machine slows all
alike; figures are medians over passes.
"""

import gc
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import process_time
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import psutil
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from loadtest.kernels import Work, processor, take_turns
from pipeline.core.merge import merge
from pipeline.matching.block import MARGIN, compile_search
from pipeline.matching.engine import faiss, nearest
from pipeline.matching.index import InnerProductIndex
from pipeline.matching.shard import FaissShard
from pipeline.records import Probes, ShardReply, WatchlistEntry

BATCHES: Final = (1, 32, 256)
DIMENSION: Final = 128
ROWS: Final = (10_000, 100_000)
SEED: Final = 1
PART_ROWS: Final = 100_000
"""Rows of one matrix product at most, which bounds the memory of its result."""
THREAD_VARIABLES: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")

SGEMM: Final = "sgemm"
DEFAULT: Final = "IndexFlatIP"
NEAREST: Final = "nearest"
SHARD: Final = "shard"
KINDS: Final = {
    SGEMM: "numpy's matrix product, no selection",
    DEFAULT: "FAISS as it comes",
    NEAREST: "the selection of rows alone",
    SHARD: "a shard's whole search",
}


class Figure(msgspec.Struct, frozen=True):
    """One row: a kind at a number of entries and a batch."""

    kind: str
    entries: int
    batch: int
    per_second: float
    """Probes per CPU second of one thread."""
    sgemm_share: float
    """Rate ÷ that of the matrix product alone, of the same run."""
    to_default: float
    """Rate ÷ that of FAISS as it comes, of the same run."""
    recall: float | None
    """Share of probes whose best entry is the best by float64 products; None for a kind that selects nothing."""


class Built(msgspec.Struct, frozen=True):
    """What it took to hold the entries."""

    kind: str
    entries: int
    seconds: float
    """CPU seconds to add all entries."""
    mib: float
    """Growth of the process's resident memory meanwhile."""


class Sharded(msgspec.Struct, frozen=True):
    """All entries in several shards, searched one after another, against all in one."""

    entries: int
    shards: int
    batch: int
    one_ms: float
    """CPU milliseconds of one search."""
    all_ms: float
    """CPU milliseconds of the searches of all shards together."""
    merge_ms: float
    """CPU milliseconds of making one answer of all, which is the worker's part."""
    same: bool
    """Whether the merged answers hold the same entries with the same scores in the same order."""


class Report(msgspec.Struct, frozen=True):
    """All rows and what they were measured on."""

    device: str
    faiss: str
    numpy: str
    k: int
    figures: list[Figure]
    built: list[Built]
    sharded: list[Sharded]


def units(random: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Random directions float32[count,128] of length 1."""
    vectors = random.standard_normal((count, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def shards_of(templates: NDArray[np.float32], shards: int) -> list[FaissShard]:
    """Shards that hold the templates in turn, with ids as long as names are."""
    indexes = [InnerProductIndex(DIMENSION) for _ in range(shards)]
    for number, template in enumerate(templates):
        indexes[number % shards].put(WatchlistEntry(f"person-{number:08d}", template, f"case/{number:08d}"))
    for index in indexes:
        index.publish(1)
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
        places = products.argmax(axis=1)
        products = products[np.arange(len(probes)), places]
        rows = np.where(products > greatest, first + places, rows)
        greatest = np.maximum(products, greatest)
    return rows


class Bench:
    """One number of entries, held once in a shard, once in FAISS's index and once as a plain array."""

    def __init__(self, entries: int, k: int, seconds: float) -> None:
        random = np.random.default_rng(SEED)
        self._templates = units(random, entries)
        self._probes = units(random, max(BATCHES))
        self._best = best(self._probes, self._templates)
        self._k = min(k, entries)
        self._seconds = seconds
        self.built: list[Built] = []
        self._shards: list[FaissShard] = self._build(SHARD, partial(shards_of, self._templates, 1))
        self._default = self._build(DEFAULT, partial(default_of, self._templates))

    def figures(self) -> Iterator[Figure]:
        """Yield the rows of every batch."""
        for batch in BATCHES:
            probes = Probes(self._probes[:batch].copy(), np.zeros(batch, np.int64))
            times = self._times(probes)
            for kind in KINDS:
                rate = batch / times[kind]
                recall = self._recall(kind, probes)
                share, ratio = times[SGEMM] / times[kind], times[DEFAULT] / times[kind]
                yield Figure(kind, len(self._templates), batch, rate, share, ratio, recall)

    def sharded(self, shards: int) -> Sharded:
        """Measure several shards against one, at the largest batch."""
        several = shards_of(self._templates, shards)
        probes = Probes(self._probes, np.zeros(len(self._probes), np.int64))
        replies = search(several, probes, self._k)
        merged = merge(replies, len(self._probes), self._k, shards)
        alone = merge(search(self._shards, probes, self._k), len(self._probes), self._k, 1)
        works: dict[str, Work] = {
            "one": partial(search, self._shards, probes, self._k),
            "all": partial(search, several, probes, self._k),
            "merge": partial(merge, replies, len(self._probes), self._k, shards),
        }
        ms = {name: 1e3 * cpu for name, (_, cpu) in take_turns(works, self._seconds).items()}
        same = merged.candidates == alone.candidates
        return Sharded(len(self._templates), shards, len(self._probes), ms["one"], ms["all"], ms["merge"], same)

    def _times(self, probes: Probes) -> dict[str, float]:
        """CPU seconds of one pass of each kind."""
        faiss().omp_set_num_threads(1)
        rows = self._templates
        out = np.empty((len(probes.templates), min(len(rows), PART_ROWS)), np.float32)
        works: dict[str, Work] = {
            SGEMM: partial(multiply, probes.templates, rows, out),
            DEFAULT: partial(self._default.search, probes.templates, self._k),
            NEAREST: partial(nearest, probes.templates, rows, min(self._k + MARGIN, len(rows)), 1),
            SHARD: partial(search, self._shards, probes, self._k),
        }
        return {kind: cpu for kind, (_, cpu) in take_turns(works, self._seconds).items()}

    def _recall(self, kind: str, probes: Probes) -> float | None:
        expected = self._best[: len(probes.templates)].tolist()
        if kind == SGEMM:
            return None
        if kind == SHARD:
            (reply,) = search(self._shards, probes, 1)
            found = [int(first.entry.rpartition("-")[2]) for (first,) in reply.candidates]
        elif kind == NEAREST:
            found = nearest(probes.templates, self._templates, 1, 1)[1][:, 0].tolist()
        else:
            found = self._default.search(probes.templates, 1)[1][:, 0].tolist()
        return float(np.mean(np.equal(found, expected)))

    def _build(self, kind: str, build: Any) -> Any:
        gc.collect()
        process = psutil.Process()
        before, began = process.memory_info().rss, process_time()
        made = build()
        seconds, grown = process_time() - began, process.memory_info().rss - before
        self.built.append(Built(kind, len(self._templates), seconds, grown / 2**20))
        return made


def show(report: Report, console: Console) -> None:
    """Print all rows."""
    table = Table("entries", "batch", "kind", "probes/s", "of SGEMM", "of IndexFlatIP", "recall@1")
    for row in report.figures:
        recall = "" if row.recall is None else f"{row.recall:.3f}"
        shares = (f"{100 * row.sgemm_share:.0f} %", f"{row.to_default:.2f}", recall)
        table.add_row(f"{row.entries:,}", str(row.batch), row.kind, f"{row.per_second:,.0f}", *shares)
    console.print(table)
    table = Table("entries", "kind", "build seconds", "MiB")
    for held in report.built:
        table.add_row(f"{held.entries:,}", held.kind, f"{held.seconds:.2f}", f"{held.mib:,.0f}")
    console.print(table)
    for each in report.sharded:
        console.print(
            f"{each.entries:,} entries, batch {each.batch}: one shard {each.one_ms:.1f} ms, {each.shards} shards "
            f"{each.all_ms:.1f} ms ({100 * (each.all_ms / each.one_ms - 1):+.0f} %), merge {each.merge_ms:.1f} ms; "
            f"{'same' if each.same else 'DIFFERENT'} candidates",
            soft_wrap=True,
        )
    for kind, meaning in KINDS.items():
        console.print(f"{kind}: {meaning}", soft_wrap=True)
    console.print(
        f"{report.device}; one thread; faiss {report.faiss}; numpy {report.numpy}; d = {DIMENSION}, k = {report.k}",
        soft_wrap=True,
    )


def main(
    rows: Annotated[list[int] | None, typer.Option(min=1, help="Entries; repeat for several.")] = None,
    k: Annotated[int, typer.Option(min=1, max=16, help="Candidates of each probe.")] = 10,
    shards: Annotated[int, typer.Option(min=1, help="Compare as many shards with one; 1: compare none.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.01, help="Time of each kind, number of entries and batch.")] = 2.0,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures to this file, too.")] = None,
) -> None:
    """Measure searches of the watchlist on this machine, in one thread."""
    unset = [name for name in THREAD_VARIABLES if os.environ.get(name) != "1"]
    if unset:
        raise typer.BadParameter(f"set {' and '.join(f'{name}=1' for name in unset)}: BLAS reads it as it is loaded")
    compile_search()
    figures: list[Figure] = []
    built: list[Built] = []
    sharded: list[Sharded] = []
    for entries in rows or ROWS:
        bench = Bench(entries, k, seconds)
        built.extend(bench.built)
        figures.extend(bench.figures())
        if shards > 1:
            sharded.append(bench.sharded(shards))
    report = Report(processor(), str(faiss().__version__), np.__version__, k, figures, built, sharded)
    show(report, Console())
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


if __name__ == "__main__":
    typer.run(main)
