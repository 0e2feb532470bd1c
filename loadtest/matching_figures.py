"""What the benchmark of the search found, and how it is printed."""

from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from loadtest.templates import DIMENSION

SGEMM: Final = "sgemm"
DEFAULT: Final = "IndexFlatIP"
NEAREST: Final = "nearest"
MEANINGS: Final = {
    SGEMM: "numpy's matrix product, no selection",
    DEFAULT: "FAISS's exact index as it comes",
    NEAREST: "the selection of rows alone, exact",
}
"""What is measured besides a shard's whole search with each kind of index."""


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
    """Share of mated probes whose best entry is the best by float64 products; None for a kind that selects nothing."""
    recall_non_mated: float | None = None
    """The same of probes of nobody in the gallery."""


class Built(msgspec.Struct, frozen=True):
    """What it took to hold the entries."""

    kind: str
    entries: int
    seconds: float
    """CPU seconds to add all entries."""
    mib: float
    """Growth of the process's resident memory meanwhile, with what is built over them."""
    selector_cpu: float = 0.0
    """CPU seconds to build what proposes rows over them; 0 where nothing does."""
    selector_wall: float = 0.0
    """The same on the clock, with as many threads as the report says."""


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
    build_threads: int
    faiss: str
    numpy: str
    k: int
    figures: list[Figure]
    built: list[Built]
    sharded: list[Sharded]


def show(report: Report, console: Console) -> None:
    """Print all rows."""
    table = Table("entries", "batch", "kind", "probes/s", "of SGEMM", "of IndexFlatIP", "recall@1", "non-mated")
    for row in report.figures:
        recalls = ("" if each is None else f"{each:.3f}" for each in (row.recall, row.recall_non_mated))
        shares = (f"{100 * row.sgemm_share:.0f} %", f"{row.to_default:.2f}")
        table.add_row(f"{row.entries:,}", str(row.batch), row.kind, f"{row.per_second:,.0f}", *shares, *recalls)
    console.print(table)
    table = Table("entries", "kind", "adding, CPU s", "building, CPU s", "building, s", "MiB")
    for held in report.built:
        seconds = (f"{each:.2f}" for each in (held.seconds, held.selector_cpu, held.selector_wall))
        table.add_row(f"{held.entries:,}", held.kind, *seconds, f"{held.mib:,.0f}")
    console.print(table)
    for each in report.sharded:
        console.print(
            f"{each.entries:,} entries, batch {each.batch}: one shard {each.one_ms:.1f} ms, {each.shards} shards "
            f"{each.all_ms:.1f} ms ({100 * (each.all_ms / each.one_ms - 1):+.0f} %), merge {each.merge_ms:.1f} ms; "
            f"{'same' if each.same else 'DIFFERENT'} candidates",
            soft_wrap=True,
        )
    for kind, meaning in MEANINGS.items():
        console.print(f"{kind}: {meaning}", soft_wrap=True)
    console.print("the others: a shard's whole search with that kind of index", soft_wrap=True)
    console.print(
        f"{report.device}; one thread, {report.build_threads} to build; faiss {report.faiss}; numpy {report.numpy}; "
        f"d = {DIMENSION}, k = {report.k}",
        soft_wrap=True,
    )
