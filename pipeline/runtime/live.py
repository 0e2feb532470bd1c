"""The live table of a run: cameras, their frames, faces, alerts and latency, totals and progress."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.actors.report import PlaceReport, WorkReport
from pipeline.cameras.counts import CameraCounts, summed
from pipeline.core.latency import LatencySketch

ROWS = 24
"""Places shown; the rest is in the totals."""
HEADINGS: Final = ("camera", "sent", "frames", "shed", "faces", "alerts", "p50", "p95", "p99", "queue")
FIRST_TO_GO: Final = ("queue", "p95", "sent", "faces", "p50", "shed", "frames")
"""Columns that a narrow terminal does without, in this order; the id, the alerts and the p99 stay."""
GAP: Final = 2
"""Spaces between two columns."""
BAR_WIDTH: Final = 40


def milliseconds(seconds: float | None) -> str:
    """A latency for people: whole milliseconds below ten seconds, else seconds; a dash for none."""
    if seconds is None:
        return "–"
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else f"{seconds:,.1f} s"


def live_table(
    work: WorkReport, cameras: Mapping[str, CameraCounts], elapsed: float, seconds: float | None, note: str
) -> RenderableType:
    """Per place a row, the totals below, and a bar of the run's progress; `note` is one line of state.

    Latencies are glass to alert, ``queue`` is the queue age's p95.
    """
    places = sorted({*work.places, *cameras} if len(cameras) <= ROWS else work.places)
    rows = [[name, *_cells(work.places.get(name, PlaceReport()), cameras.get(name))] for name in places[:ROWS]]
    total = PlaceReport()
    for place in work.places.values():
        total.merge(place)
    lines: list[RenderableType] = [
        _Fitted(rows, ["total", *_cells(total, summed(cameras) if cameras else None)]),
    ]
    hidden = len(places) - ROWS
    if hidden > 0:
        lines.append(Text(f"… and {hidden} more, counted in the totals", style="dim"))
    if seconds is not None:
        progress = Table.grid(padding=(0, 1))
        progress.add_row(
            ProgressBar(total=seconds, completed=min(elapsed, seconds), width=BAR_WIDTH),
            Text(f"{min(elapsed, seconds):,.0f} of {seconds:,.0f} s", style="dim"),
        )
        lines.append(progress)
    lines.append(Text(note, style="dim"))
    return Group(*lines)


class _Fitted:
    """The table with the columns that the terminal has room for at the moment, each of them whole."""

    def __init__(self, rows: Sequence[Sequence[str]], total: Sequence[str]) -> None:
        self._rows = rows
        self._total = total

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = [max(map(cell_len, column)) for column in zip(HEADINGS, *self._rows, self._total, strict=True)]
        table = Table(
            box=None,
            padding=(0, GAP, 0, 0),
            pad_edge=False,
            header_style="bold",
            footer_style="bold",
            show_footer=True,
        )
        kept = [
            HEADINGS.index(heading)
            for heading in columns_for(dict(zip(HEADINGS, widths, strict=True)), options.max_width)
        ]
        for index in kept:
            table.add_column(
                HEADINGS[index],
                self._total[index],
                justify="right" if index else "left",
                no_wrap=True,
                min_width=None if index else min(widths[0], options.max_width),
            )
        for row in self._rows:
            table.add_row(*(row[index] for index in kept))
        yield table


def columns_for(widths: Mapping[str, int], room: int) -> list[str]:
    """The headings of the columns, by their width in cells, that fit into `room` cells together."""
    kept = list(widths)
    for heading in FIRST_TO_GO:
        if sum(widths[each] + GAP for each in kept) - GAP <= room:
            break
        kept.remove(heading)
    return kept


def _cells(place: PlaceReport, sent: CameraCounts | None) -> list[str]:
    return [
        f"{sent.sent:,}" if sent else "–",
        f"{place.frames:,}",
        f"{place.shed:,}",
        f"{place.faces:,}",
        f"{place.alerts:,}",
        *(milliseconds(place.latency.quantile(q)) for q in (0.5, 0.95, 0.99)),
        milliseconds(place.queue_age.quantile(0.95)),
    ]


def total_latency(work: WorkReport) -> LatencySketch:
    """Glass-to-alert latency of all frames of a run."""
    total = LatencySketch()
    for place in work.places.values():
        total.merge(place.latency)
    return total
