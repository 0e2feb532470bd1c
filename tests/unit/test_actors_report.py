"""What a worker says of its work: totals that add up, over workers and over the successive processes of one."""

import msgspec
import numpy as np

from pipeline.actors.batch import Ending, Extent, FrameFacts, Seen
from pipeline.actors.report import SECONDS_KEPT, Ledger, WorkReport, merge_reports
from pipeline.catalog import metrics
from pipeline.catalog.outcomes import Outcome
from pipeline.records import OutcomeRange, Receipt
from pipeline.telemetry.places import Places
from pipeline.testing.telemetry import FakeTelemetry

SECOND_NS = 10**9
NOW_NS = 1_800_000_000 * SECOND_NS


def facts(offset: int, camera: str, capture_ns: int, trusted: bool = True) -> FrameFacts:
    """A frame that was appended 100 ms after its capture."""
    return FrameFacts(0, offset, camera, "r", offset, capture_ns, capture_ns + SECOND_NS // 10, trusted)


def seen(*frames: FrameFacts, faces: tuple[int, ...] = (), endings: tuple[Ending, ...] = ()) -> Seen:
    """A batch consumed when the newest frame was 300 ms old; `faces` gives the frame of each."""
    consumed_ns = max(frame.capture_ns for frame in frames) + 3 * SECOND_NS // 10
    return Seen(
        Extent(len(frames), {}, (), None, 1, consumed_ns),
        0,
        endings,
        (),
        frames,
        np.array(faces, np.int64),
        np.zeros((len(faces), 4), np.float32),
        np.zeros((len(faces), 128), np.float32),
    )


def receipt(*ranges: OutcomeRange, version: int = 1, fraction: float = 1.0) -> Receipt:
    """The receipt of a batch with these outcomes."""
    return Receipt(
        run="run",
        slot=0,
        batch=0,
        decided_ns=NOW_NS,
        ranges=ranges,
        alerts=0,
        watchlist_version_lowest=version,
        watchlist_version_greatest=version,
        fraction_searched=fraction,
    )


def report(ledger: Ledger, since_second: int = 0) -> WorkReport:
    """What its supervisor reads."""
    return msgspec.msgpack.decode(ledger.snapshot(since_second), type=WorkReport)


def processed(first: int, end: int) -> OutcomeRange:
    """Offsets of partition 0 that were looked at."""
    return OutcomeRange(0, first, end, Outcome.PROCESSED)


def test_latency_runs_from_capture_to_commit_and_queue_age_from_append_to_consume() -> None:
    """Taken on every frame; a clock-untrusted camera's from its append time."""
    telemetry = FakeTelemetry()
    ledger = Ledger(lambda camera: camera, telemetry)
    batch = seen(facts(0, "a", NOW_NS), facts(1, "b", NOW_NS, trusted=False), faces=(0, 0, 1))
    ledger.settled(batch, receipt(processed(0, 2)), [], NOW_NS + SECOND_NS // 2)
    assert telemetry.observations(metrics.GLASS_TO_ALERT_SECONDS, alerting="false") == [0.5, 0.4]
    assert telemetry.observations(metrics.QUEUE_AGE_SECONDS) == [0.2, 0.2]
    places = report(ledger).places
    assert {name: (place.frames, place.faces, place.latency.count) for name, place in places.items()} == {
        "a": (1, 2, 1),
        "b": (1, 1, 1),
    }


def test_endings_are_counted_by_the_camera_that_can_be_believed() -> None:
    """A shed frame has one; a dead letter's key may lie, and an expired frame was never read."""
    telemetry = FakeTelemetry()
    ledger = Ledger(lambda camera: camera, telemetry)
    endings = (Ending(0, 1, Outcome.SHED, "a"), Ending(0, 2, Outcome.DEAD_LETTERED, "liar"))
    ranges = [
        processed(0, 1),
        OutcomeRange(0, 1, 2, Outcome.SHED),
        OutcomeRange(0, 2, 3, Outcome.DEAD_LETTERED),
        OutcomeRange(0, 3, 9, Outcome.EXPIRED),
    ]
    ledger.settled(seen(facts(0, "a", NOW_NS), endings=endings), receipt(*ranges), [], NOW_NS)
    done = report(ledger)
    assert done.outcomes == {"processed": 1, "shed": 1, "dead_lettered": 1, "expired": 6}
    assert set(done.places) == {"a"}
    assert telemetry.value(metrics.FRAMES, outcome="shed", place="a") == 1
    assert telemetry.value(metrics.FRAMES, outcome="dead_lettered", place="unknown") == 1
    assert telemetry.value(metrics.FRAMES, outcome="expired", place="unknown") == 6


def test_places_are_those_that_the_limit_leaves() -> None:
    """Above the camera limit totals are kept by district."""
    ledger = Ledger(lambda camera: camera.partition("/")[0], FakeTelemetry())
    batch = seen(facts(0, "north/1", NOW_NS), facts(1, "north/2", NOW_NS), facts(2, "south/1", NOW_NS))
    ledger.settled(batch, receipt(processed(0, 3)), [], NOW_NS)
    assert {name: place.frames for name, place in report(ledger).places.items()} == {"north": 2, "south": 1}


def test_cameras_are_folded_into_districts_when_there_are_too_many() -> None:
    """What they had counted goes with them: a report never mixes the two, and its sums do not step."""
    ledger = Ledger(Places(2).label, FakeTelemetry())
    for offset, camera in enumerate(("north/1", "north/2", "lone", "north/1")):
        ledger.settled(
            seen(facts(offset, camera, NOW_NS), faces=(0,)), receipt(processed(offset, offset + 1)), [], NOW_NS
        )
        assert report(ledger).by_district == (offset >= 2)
    assert {name: (place.frames, place.faces) for name, place in report(ledger).places.items()} == {
        "north": (3, 3), "other": (1, 1),
    }  # fmt: skip


def test_a_run_reports_by_district_once_one_of_its_workers_does() -> None:
    """Workers decide by what they see; their sum names no camera beside districts."""
    few, many = Ledger(Places(2).label, FakeTelemetry()), Ledger(Places(0).label, FakeTelemetry())
    few.settled(seen(facts(0, "north/1", NOW_NS), facts(1, "lone", NOW_NS)), receipt(processed(0, 2)), [], NOW_NS)
    many.settled(seen(facts(2, "north/2", NOW_NS)), receipt(processed(2, 3)), [], NOW_NS)
    total = merge_reports([report(few), report(many)])
    assert total.by_district
    assert {name: place.frames for name, place in total.places.items()} == {"north": 2, "other": 1}


def test_the_series_is_bounded_and_can_be_asked_from_a_second_on() -> None:
    """A worker that runs for a year keeps minutes; the totals lose nothing."""
    ledger = Ledger(lambda camera: camera, FakeTelemetry())
    seconds = 3 * SECONDS_KEPT
    for second in range(seconds):
        at = NOW_NS + second * SECOND_NS
        ledger.settled(seen(facts(second, "a", at)), receipt(processed(second, second + 1)), [], at)
    everything = report(ledger)
    assert len(everything.seconds) == SECONDS_KEPT + 1
    assert everything.outcomes == {"processed": seconds}
    assert (everything.last_commit_ns - everything.first_commit_ns) // SECOND_NS == seconds - 1
    newest = NOW_NS // SECOND_NS + seconds - 1
    assert sorted(report(ledger, newest - 4).seconds) == list(range(newest - 4, newest + 1))


def test_reports_of_workers_add_up() -> None:
    """Counts sum, sketches merge, the watchlist's version is the greatest and the fraction the least."""
    first, second = (Ledger(lambda camera: camera, FakeTelemetry()) for _ in range(2))
    first.settled(seen(facts(0, "a", NOW_NS), faces=(0,)), receipt(processed(0, 1), version=7), [], NOW_NS)
    later = NOW_NS + 5 * SECOND_NS
    second.settled(seen(facts(1, "a", later), facts(2, "b", later)), receipt(processed(1, 3), fraction=0.5), [], later)
    second.aborted()
    total = merge_reports([report(first), report(second)])
    assert total.outcomes == {"processed": 3}
    assert {name: place.frames for name, place in total.places.items()} == {"a": 2, "b": 1}
    assert (total.batches, total.faces, total.aborted) == (2, 1, 1)
    assert (total.watchlist_version, total.fraction_searched) == (7, 0.5)
    assert (total.first_commit_ns, total.last_commit_ns) == (NOW_NS, later)
    assert sum(each.latency.count for each in total.seconds.values()) == 3


def test_a_worker_that_has_done_nothing_changes_no_total() -> None:
    """Neither the first commit nor anything else."""
    ledger = Ledger(lambda camera: camera, FakeTelemetry())
    ledger.settled(seen(facts(0, "a", NOW_NS)), receipt(processed(0, 1)), [], NOW_NS)
    assert merge_reports([WorkReport(), report(ledger), WorkReport()]).first_commit_ns == NOW_NS
    assert merge_reports([]) == WorkReport()
