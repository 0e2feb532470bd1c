"""What a worker has done so far, kept under a lock and handed out as plain values."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from pipeline.actors.batch import Seen
from pipeline.catalog import metrics
from pipeline.catalog.outcomes import Outcome
from pipeline.core.latency import LatencySketch
from pipeline.core.sharding import district
from pipeline.ports import Telemetry
from pipeline.records import Alert, OutcomeRange, Receipt

SECONDS_KEPT = 180
"""Per-second latency sketches kept in a worker; who wants a longer series asks often enough."""


class PlaceReport(msgspec.Struct):
    """Totals of one camera, or of one district above the camera limit; sketches of seconds."""

    frames: int = 0
    shed: int = 0
    faces: int = 0
    alerts: int = 0
    latency: LatencySketch = msgspec.field(default_factory=LatencySketch)
    queue_age: LatencySketch = msgspec.field(default_factory=LatencySketch)

    def merge(self, other: "PlaceReport") -> None:
        """Add another report of the same place."""
        self.frames += other.frames
        self.shed += other.shed
        self.faces += other.faces
        self.alerts += other.alerts
        self.latency.merge(other.latency)
        self.queue_age.merge(other.queue_age)


class SecondReport(msgspec.Struct):
    """Latency of the frames committed in one second of wall-clock time."""

    latency: LatencySketch = msgspec.field(default_factory=LatencySketch)
    queue_age: LatencySketch = msgspec.field(default_factory=LatencySketch)
    alerts: int = 0


class WorkReport(msgspec.Struct):
    """Totals of one worker process; cumulative, so that asking twice counts nothing twice."""

    outcomes: dict[str, int] = {}
    places: dict[str, PlaceReport] = {}
    by_district: bool = False
    """Whether places are districts, since there were too many cameras; else they are cameras."""
    seconds: dict[int, SecondReport] = {}
    """By Unix second."""
    batches: int = 0
    faces: int = 0
    alerts: int = 0
    aborted: int = 0
    watchlist_version: int = 0
    fraction_searched: float = 1.0
    first_commit_ns: int = 0
    last_commit_ns: int = 0
    alert_latency: LatencySketch = msgspec.field(default_factory=LatencySketch)
    """Glass-to-alert latency of alerting frames."""


class Ledger:
    """Keeps a worker's `WorkReport` and its metrics; every method may be called from any thread.

    `place` turns a camera id into the name that its totals are kept under: the id itself until there are too many
    cameras, another from then on.
    """

    def __init__(self, place: Callable[[str], str], telemetry: Telemetry) -> None:
        self._place = place
        self._telemetry = telemetry
        self._lock = threading.Lock()
        self._report = WorkReport()

    def settled(self, seen: Seen, receipt: Receipt, alerts: Sequence[Alert], committed_ns: int) -> None:
        """Count a batch whose transaction has been committed at `committed_ns`."""
        with self._lock:
            self._count_outcomes(receipt.ranges)
            self._report.batches += 1
            self._report.watchlist_version = receipt.watchlist_version_greatest
            self._report.fraction_searched = receipt.fraction_searched
            self._report.first_commit_ns = self._report.first_commit_ns or committed_ns
            self._report.last_commit_ns = committed_ns
            self._count_frames(seen, alerts, committed_ns)
            self._count_endings(seen)
        self._telemetry.observe(metrics.BATCH_FRAMES, seen.extent.records)
        self._telemetry.observe(metrics.BATCH_FACES, len(seen.templates))
        self._telemetry.set(metrics.FRACTION_SEARCHED, receipt.fraction_searched)

    def aborted(self) -> None:
        """Count a transaction that was rolled back."""
        with self._lock:
            self._report.aborted += 1
        self._telemetry.count(metrics.TRANSACTIONS_ABORTED)

    def snapshot(self, since_second: int = 0) -> bytes:
        """The totals, with the per-second series from `since_second` on, as msgpack of `WorkReport`."""
        with self._lock:
            recent = {second: report for second, report in self._report.seconds.items() if second >= since_second}
            return msgspec.msgpack.encode(msgspec.structs.replace(self._report, seconds=recent))

    def _count_outcomes(self, ranges: Sequence[OutcomeRange]) -> None:
        for span in ranges:
            count = span.end - span.first
            self._report.outcomes[span.outcome] = self._report.outcomes.get(span.outcome, 0) + count
            if span.outcome in (Outcome.EXPIRED, Outcome.DEAD_LETTERED):
                # neither has a camera to trust: an expired frame was never read, and a dead letter's key may lie
                self._telemetry.count(metrics.FRAMES, count, outcome=span.outcome, place=metrics.UNKNOWN_PLACE)

    def _count_frames(self, seen: Seen, alerts: Sequence[Alert], committed_ns: int) -> None:
        second = self._second(committed_ns // 1_000_000_000)
        alerting = {(alert.frame_partition, alert.frame_offset) for alert in alerts}
        # by camera, since a labelled counter takes as long to find as all that is counted of a frame
        frames = Counter(facts.camera for facts in seen.frames)
        faces = Counter(seen.frames[frame].camera for frame in seen.face_frame.tolist())
        for facts in seen.frames:
            latency = max(0.0, (committed_ns - facts.matching_ns) / 1e9)
            age = max(0.0, (seen.extent.consumed_ns - facts.append_ns) / 1e9)
            place = self._place_of(facts.camera)
            for sketch in (place.latency, second.latency):
                sketch.add(latency)
            for sketch in (place.queue_age, second.queue_age):
                sketch.add(age)
            is_alerting = (facts.partition, facts.offset) in alerting
            if is_alerting:
                self._report.alert_latency.add(latency)
            self._telemetry.observe(
                metrics.GLASS_TO_ALERT_SECONDS, latency, alerting="true" if is_alerting else "false"
            )
            self._telemetry.observe(metrics.QUEUE_AGE_SECONDS, age)
        for camera, count in frames.items():
            place = self._place_of(camera)
            place.frames += count
            place.faces += faces[camera]
            self._telemetry.count(metrics.FRAMES, count, outcome=Outcome.PROCESSED, place=camera)
            self._telemetry.count(metrics.FACES, faces[camera], place=camera)
        for alert in alerts:
            self._place_of(alert.camera).alerts += 1
            self._telemetry.count(metrics.ALERTS, 1, place=alert.camera)
        second.alerts += len(alerts)
        self._report.alerts += len(alerts)
        self._report.faces += len(seen.templates)

    def _count_endings(self, seen: Seen) -> None:
        shed = Counter(each.camera for each in seen.endings if each.outcome is Outcome.SHED and each.camera is not None)
        for camera, count in shed.items():
            self._place_of(camera).shed += count
            self._telemetry.count(metrics.FRAMES, count, outcome=Outcome.SHED, place=camera)

    def _place_of(self, camera: str) -> PlaceReport:
        name = self._place(camera)
        if name != camera and not self._report.by_district:
            self._report.by_district = True
            self._report.places = _folded(self._report.places, self._place)
        return self._report.places.setdefault(name, PlaceReport())

    def _second(self, second: int) -> SecondReport:
        seconds = self._report.seconds
        if second not in seconds:
            seconds[second] = SecondReport()
            for old in [kept for kept in seconds if kept < second - SECONDS_KEPT]:
                del seconds[old]
        return seconds[second]


def place_by_district(camera: str) -> str:
    """The name that a camera's totals are kept under once there are too many."""
    name = district(camera)
    return metrics.OTHER_PLACES if name == camera else name


def _folded(places: Mapping[str, PlaceReport], place: Callable[[str], str]) -> dict[str, PlaceReport]:
    folded: dict[str, PlaceReport] = {}
    for camera, report in places.items():
        folded.setdefault(place(camera), PlaceReport()).merge(report)
    return folded


def merge_reports(reports: Sequence[WorkReport]) -> WorkReport:
    """The totals of several workers, or of one worker's successive processes; by district if one of them is."""
    total = WorkReport(by_district=any(report.by_district for report in reports))
    for report in reports:
        _add_counts(total.outcomes, report.outcomes)
        cameras = total.by_district and not report.by_district
        places = _folded(report.places, place_by_district) if cameras else report.places
        for name, place in places.items():
            total.places.setdefault(name, PlaceReport()).merge(place)
        for number, second in report.seconds.items():
            kept = total.seconds.setdefault(number, SecondReport())
            kept.latency.merge(second.latency)
            kept.queue_age.merge(second.queue_age)
            kept.alerts += second.alerts
        total.batches += report.batches
        total.faces += report.faces
        total.alerts += report.alerts
        total.aborted += report.aborted
        total.watchlist_version = max(total.watchlist_version, report.watchlist_version)
        total.fraction_searched = min(total.fraction_searched, report.fraction_searched)
        total.first_commit_ns = min(filter(None, (total.first_commit_ns, report.first_commit_ns)), default=0)
        total.last_commit_ns = max(total.last_commit_ns, report.last_commit_ns)
        total.alert_latency.merge(report.alert_latency)
    return total


def _add_counts(total: dict[str, int], counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        total[name] = total.get(name, 0) + count
