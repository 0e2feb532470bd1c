"""The live table of a run: cameras, their frames, faces, alerts and latency, totals and progress."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.actors.report import PlaceReport, WorkReport
from pipeline.cameras.counts import CameraCounts, summed
from pipeline.core.latency import LatencySketch

ROWS = 24
"""Places shown; the rest is in the totals."""


def milliseconds(seconds: float | None) -> str:
    """A latency for people: whole milliseconds below ten seconds, else seconds; a dash for none."""
    if seconds is None:
        return "–"
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else f"{seconds:,.1f} s"


def live_table(
    work: WorkReport, cameras: Mapping[str, CameraCounts], elapsed: float, seconds: float | None, note: str
) -> RenderableType:
    """Per place a row, the totals below, and a bar of the run's progress; `note` is one line of state."""
    table = Table(show_edge=False, pad_edge=False, header_style="bold", footer_style="bold", show_footer=True)
    for heading in ("camera", "sent", "frames", "shed", "faces", "alerts", "p50", "p95", "p99", "queue p95"):
        table.add_column(heading, justify="left" if heading == "camera" else "right", no_wrap=True)
    places = sorted({*work.places, *cameras} if len(cameras) <= ROWS else work.places)
    for name in places[:ROWS]:
        table.add_row(name, *_cells(work.places.get(name, PlaceReport()), cameras.get(name)))
    total = PlaceReport()
    for place in work.places.values():
        total.merge(place)
    for column, cell in zip(
        table.columns, ["total", *_cells(total, summed(cameras) if cameras else None)], strict=True
    ):
        column.footer = cell
    hidden = len(places) - ROWS
    lines: list[RenderableType] = [table]
    if hidden > 0:
        lines.append(Text(f"… and {hidden} more, counted in the totals", style="dim"))
    if seconds is not None:
        lines.append(ProgressBar(total=seconds, completed=min(elapsed, seconds), width=60))
    lines.append(Text(note, style="dim"))
    return Group(*lines)


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
