"""What a demo leaves: summary.json, a sample frame, a latency plot, and a few lines for the reader."""

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

import pipeline
from pipeline.actors.pool_status import PoolStatus
from pipeline.actors.report import PlaceReport, WorkReport, place_by_district
from pipeline.cameras.counts import CameraCounts, summed
from pipeline.cameras.plan import SyntheticCamera
from pipeline.catalog.outcomes import Outcome
from pipeline.core.latency import LatencySketch
from pipeline.errors import CustodyError, ResourceError
from pipeline.local.machine import cores
from pipeline.matching.engine import installed
from pipeline.records import Alert
from pipeline.runtime import summary as records
from pipeline.runtime.finished import Finished
from pipeline.runtime.live import milliseconds, total_latency
from pipeline.runtime.live_cohorts import Provenance, cohorts_plot, live_cohorts
from pipeline.runtime.pictures import annotated_frame, best_alert
from pipeline.runtime.plots import LatencySeries, latency_plot
from pipeline.runtime.pool_news import changes_told
from pipeline.runtime.settings_sources import Resolved
from pipeline.runtime.taps import CustodyFindings
from pipeline.runtime.truth import Verdict, join_all, judge_all
from pipeline.runtime.words import counted
from pipeline.synthetic.street import Street

LIBRARIES = ("confluent-kafka", "numba", "numpy", "opencv-python-headless", "ray", "torch")
SAMPLE = "sample-frame.png"
PLOT = "latency.png"
COHORTS = "cohorts.json"
COHORTS_PLOT = "cohorts.png"
OBJECTIVE_SECONDS = 1.0


def write_results(finished: Finished, memory_peak_bytes: int, console: Console) -> records.Summary:
    """Show the summary, and write everything into `demo.out`, which is made if needed.

    Raises ResourceError if that can't be written; what was measured has been shown by then.
    """
    out = finished.settings.demo.out
    streets = {each.id: Street(each.street) for each in finished.plan.cameras if isinstance(each, SyntheticCamera)}
    sent = {camera: counts.intended for camera, counts in finished.cameras.counts.items()}
    joined, elsewhere = join_all(streets, sent, finished.alerts)
    verdict = judge_all(joined, elsewhere) if streets else None
    summary = summarise(finished, verdict, memory_peak_bytes)
    report(summary, console)
    records.write_summary(summary, out)
    files = [str(out / records.FILE_NAME)]
    if streets:
        _write(out / SAMPLE, _sample(streets, finished.alerts))
        cohorts = live_cohorts(joined, elsewhere, _provenance(finished))
        _write(out / COHORTS, msgspec.json.format(msgspec.json.encode(cohorts), indent=2) + b"\n")
        _write(out / COHORTS_PLOT, cohorts_plot(cohorts))
        files += [SAMPLE, COHORTS, COHORTS_PLOT]
    _write(
        out / PLOT,
        latency_plot(_series(finished), title=f"{finished.run}: glass to alert", objective=OBJECTIVE_SECONDS),
    )
    _show([("results", ", ".join([*files, PLOT]))], console)
    return summary


def summarise(finished: Finished, verdict: Verdict | None, memory_peak_bytes: int) -> records.Summary:
    """The summary of a demo."""
    counts = summed(finished.cameras.counts)
    work = finished.work
    sent = _by_district(finished.cameras.counts) if work.by_district else finished.cameras.counts
    latency = total_latency(work)
    span = (work.last_commit_ns - work.first_commit_ns) / 1e9
    return records.Summary(
        ok=not (problems := _problems(finished, counts)),
        problems=problems,
        run=finished.run,
        replaced_processes=finished.replaced,
        last_replacement=finished.last_replaced,
        pool=None if finished.pool is None else _pool(finished.pool),
        seed=finished.settings.cameras.seed,
        seconds=finished.settings.demo.seconds,
        versions=_versions(finished.kafka),
        settings={row.field: row.value for row in Resolved(finished.settings, {}).rows()},
        cameras=records.CameraCounts(counts.intended, counts.sent, counts.failed),
        custody=_custody(finished.custody),
        truth=None if verdict is None else _truth(verdict),
        alerts=len(finished.alerts),
        first_alert_seconds=finished.first_alert_seconds,
        frames_per_second=latency.count / span if span > 0 else 0.0,
        latency_seconds=_quantiles(latency),
        alert_latency_seconds=_quantiles(work.alert_latency),
        queue_age_seconds=_quantiles(_queue_age(work)),
        memory_peak_bytes=memory_peak_bytes,
        per_camera=[
            _camera(name, work.places.get(name, PlaceReport()), sent.get(name, CameraCounts()))
            for name in sorted({*work.places, *sent})
        ],
    )


def report(summary: records.Summary, console: Console) -> None:
    """The summary for people."""
    cameras, custody, truth, latency = summary.cameras, summary.custody, summary.truth, summary.latency_seconds
    alerts = f"{summary.alerts:,}"
    if truth is not None:
        alerts += (
            f": {truth.alerted_passes} of {truth.planted_passes} planted passes alerted, {truth.false_alerts} false, "
            f"{truth.doubled_passes} doubled; the others are of listed people who stay far or turned away; "
            f"{truth.faces:,} faces in the frames"
        )
    first = summary.first_alert_seconds
    rows = [
        ("frames", f"{cameras.intended:,} intended, {cameras.sent:,} sent, {cameras.failed:,} failed"),
        (
            "custody",
            f"{custody.consumed:,} consumed = {custody.processed:,} processed + {custody.shed:,} shed + "
            f"{custody.dead_lettered:,} dead-lettered; {custody.expired:,} expired; "
            + ("balanced" if custody.balanced else "[bold red]NOT BALANCED[/]"),
        ),
        ("alerts", alerts),
        ("first alert", "none" if first is None else f"{first:.1f} s after the command"),
        (
            "glass to alert",
            f"p50 {milliseconds(latency.p50)}, p95 {milliseconds(latency.p95)}, p99 {milliseconds(latency.p99)}, "
            f"max {milliseconds(latency.max)} at {summary.frames_per_second:.1f} frames/s",
        ),
        ("memory", f"{summary.memory_peak_bytes / 2**20:,.0f} MiB at the peak (PSS, all processes)"),
    ]
    if (pool := summary.pool) is not None:
        rows.append(("workers", f"{pool.least} to {pool.most}; the pool {changes_told(pool.grown, pool.shrunk)}"))
    _show(rows, console)
    if summary.replaced_processes:
        died = counted(summary.replaced_processes, "worker or shard process", "worker or shard processes")
        console.print(f"replaced: {died}, the last {summary.last_replacement}", soft_wrap=True)
    for problem in summary.problems:
        console.print(f"problem: {problem}", style="bold red", soft_wrap=True)


def _show(rows: Sequence[tuple[str, str]], console: Console) -> None:
    """Rows of a name and a text, wrapped on a terminal and a line each elsewhere."""
    if not console.is_terminal:
        for name, text in rows:
            console.print(f"[bold]{name:<14}[/] │ {text}", soft_wrap=True)
        return
    table = Table(show_header=False, show_edge=False, pad_edge=False)
    table.add_column(style="bold", min_width=14)
    table.add_column()
    for row in rows:
        table.add_row(*row)
    console.print(table)


def exit_code(finished: Finished, summary: records.Summary) -> int:
    """What a demo that was not interrupted ends with: 0, 8 if frames are not accounted for, else what failed."""
    if summary.ok:
        return 0
    unaccounted = len(summary.problems) > len(finished.failures)
    return CustodyError.exit_code if unaccounted else finished.failures[0].exit_code


def _problems(finished: Finished, counts: CameraCounts) -> list[str]:
    problems = list(finished.custody.problems)
    if finished.custody.consumed + finished.custody.counts[Outcome.EXPIRED] < counts.sent:
        missing = counts.sent - finished.custody.consumed - finished.custody.counts[Outcome.EXPIRED]
        problems.append(f"{missing} frames that were sent have no outcome")
    if finished.custody.alerts != len(finished.alerts):
        problems.append(f"the receipts speak of {finished.custody.alerts} alerts, and {len(finished.alerts)} were read")
    if counts.failed:
        large = f", {counts.too_large} of them since they are larger than a frame may be" if counts.too_large else ""
        problems.append(f"{counts.failed} frames did not reach Kafka{large}")
    return problems + [str(failure) for failure in finished.failures]


def _by_district(cameras: Mapping[str, CameraCounts]) -> dict[str, CameraCounts]:
    places: dict[str, dict[str, CameraCounts]] = {}
    for camera, counts in cameras.items():
        places.setdefault(place_by_district(camera), {})[camera] = counts
    return {place: summed(each) for place, each in places.items()}


def _custody(found: CustodyFindings) -> records.Custody:
    counts = found.counts
    return records.Custody(
        consumed=found.consumed,
        processed=counts[Outcome.PROCESSED],
        shed=counts[Outcome.SHED],
        dead_lettered=counts[Outcome.DEAD_LETTERED],
        expired=counts[Outcome.EXPIRED],
        unauthorised=counts[Outcome.UNAUTHORISED],
        unreadable=counts[Outcome.UNREADABLE],
        balanced=not found.problems,
    )


def _pool(pool: PoolStatus) -> records.Pool:
    return records.Pool(least=pool.least, most=pool.most, grown=pool.grown, shrunk=pool.shrunk)


def _truth(verdict: Verdict) -> records.Truth:
    return records.Truth(
        planted_passes=verdict.planted_passes,
        alerted_passes=verdict.alerted_passes,
        doubled_passes=verdict.doubled_passes,
        false_alerts=verdict.false_alerts,
        faces=verdict.faces,
    )


def _camera(name: str, place: PlaceReport, counts: CameraCounts) -> records.CameraSummary:
    return records.CameraSummary(
        camera=name,
        sent=counts.sent,
        frames=place.frames,
        shed=place.shed,
        faces=place.faces,
        alerts=place.alerts,
        latency_seconds=_quantiles(place.latency),
        queue_age_seconds=_quantiles(place.queue_age),
    )


def _quantiles(sketch: LatencySketch) -> records.Quantiles:
    p50, p95, p99, greatest = (sketch.quantile(q) for q in (0.5, 0.95, 0.99, 1.0))
    return records.Quantiles(p50=p50, p95=p95, p99=p99, max=greatest)


def _queue_age(work: WorkReport) -> LatencySketch:
    total = LatencySketch()
    for place in work.places.values():
        total.merge(place.queue_age)
    return total


def _versions(kafka: str) -> dict[str, str]:
    libraries = {name: version(name) for name in (*LIBRARIES, *installed())}
    return {
        "lamppost": pipeline.__version__,
        "python": platform.python_version(),
        "kafka": kafka,
        "machine": f"{platform.machine()}, {cores()} cores, Linux {os.uname().release}",
        **libraries,
    }


def _provenance(finished: Finished) -> Provenance:
    first = finished.alerts[0] if finished.alerts else None
    return Provenance(
        run=finished.run,
        seed=finished.settings.cameras.seed,
        embedder_version=None if first is None else first.embedder_version,
        threshold=None if first is None else first.threshold,
    )


def _sample(streets: dict[str, Street], alerts: list[Alert]) -> bytes:
    """The frame of the alert that shows best; without one, a frame of the first camera that has the most faces."""
    shown = best_alert(streets, alerts)
    if shown is not None:
        return annotated_frame(streets[shown.camera], shown.sequence, alerts)
    street = next(iter(streets.values()))
    fullest = max(range(street.frames_per_loop), key=lambda sequence: len(street.truth(sequence).faces))
    return annotated_frame(street, fullest, alerts)


def _series(finished: Finished) -> LatencySeries:
    began = (finished.cameras.start_ns or 0) / 1e9
    seconds = sorted(finished.work.seconds.items())

    def column(q: float, queue: bool = False) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        sketches = [second.queue_age if queue else second.latency for _, second in seconds]
        values = [sketch.quantile(q) for sketch in sketches]
        return np.array([np.nan if value is None else value for value in values], np.float64)

    return LatencySeries(
        at=np.array([second + 0.5 - began for second, _ in seconds], np.float64),
        p50=column(0.5),
        p95=column(0.95),
        p99=column(0.99),
        queue_age=column(0.95, queue=True),
        alert_at=np.array([alert.decided_ns / 1e9 - began for alert in finished.alerts], np.float64),
        alert_latency=np.array([(alert.decided_ns - alert.cooldown_ns) / 1e9 for alert in finished.alerts], np.float64),
    )


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ResourceError(f"{path} cannot be written ({error.strerror}); choose another folder with --out") from error
