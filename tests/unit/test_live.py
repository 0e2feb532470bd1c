"""The live table: what a terminal of each width shows, always whole."""

import io

import pytest
from rich.console import Console

from pipeline.actors.report import PlaceReport, WorkReport
from pipeline.cameras.counts import CameraCounts
from pipeline.runtime.live import columns_for, live_table
from pipeline.runtime.words import counted

IDS = [f"{district}/cam-{n:03d}" for n, district in enumerate(("north", "east", "south", "west"))]


def work(ids: list[str]) -> WorkReport:
    """A run that has seen many frames at every camera, some of them late."""
    report = WorkReport()
    for camera in ids:
        place = PlaceReport(frames=123_456, shed=12, faces=250_000, alerts=321)
        for seconds in (0.05, 0.09, 9.5):
            place.latency.add(seconds)
            place.queue_age.add(seconds)
        report.places[camera] = place
    return report


def drawn(width: int, ids: list[str] = IDS) -> list[str]:
    """The lines of the table on a terminal of so many columns."""
    console = Console(width=width, record=True, force_terminal=True, file=io.StringIO())
    cameras = {camera: CameraCounts(123_500, 123_456, 0) for camera in ids}
    console.print(live_table(work(ids), cameras, 30.0, 60.0, "2 workers, 2 shards"))
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_nothing_is_cut_off_at_any_width(width: int) -> None:
    """Ids, headings and numbers are whole, and no line is wider than the terminal."""
    lines = drawn(width)
    assert [line for line in lines if "…" in line] == []
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines[1:5]] == sorted(IDS)


def test_a_narrow_terminal_does_without_the_queue_and_the_p95() -> None:
    """At 80 columns everything else is there; at 120 these two are as well."""
    assert drawn(80)[0].split() == ["camera", "sent", "frames", "shed", "faces", "alerts", "p50", "p99"]
    assert drawn(120)[0].split() == [
        "camera",
        "sent",
        "frames",
        "shed",
        "faces",
        "alerts",
        "p50",
        "p95",
        "p99",
        "queue",
    ]


def test_a_long_id_takes_the_room_of_other_columns() -> None:
    """An id that is cut off tells cameras apart no more."""
    ids = [f"a-district-with-a-very-long-name-indeed/cam-{n:03d}" for n in range(3)]
    lines = drawn(80, ids)
    assert [line.split()[0] for line in lines[1:4]] == ids
    assert {"alerts", "p99"} <= set(lines[0].split())


def test_columns_go_in_order_until_the_rest_fits() -> None:
    """Two spaces lie between columns, none behind the last."""
    widths = {"camera": 10, "queue": 5, "p95": 5, "p99": 5}
    assert columns_for(widths, 31) == ["camera", "queue", "p95", "p99"]
    assert columns_for(widths, 30) == ["camera", "p95", "p99"]


def test_the_bar_has_its_own_line() -> None:
    """Its end does not run into words."""
    *_, bar, note = drawn(80)
    assert bar.rstrip().endswith(" 30 of 60 s")
    assert note.strip() == "2 workers, 2 shards"


def test_counts_of_one_are_singular() -> None:
    """One entry is no entries."""
    assert [counted(n, "entry", "entries") for n in (0, 1, 1200)] == ["0 entries", "1 entry", "1,200 entries"]
    assert [counted(n, "worker") for n in (1, 2)] == ["1 worker", "2 workers"]
