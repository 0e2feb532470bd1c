"""What a demo makes of its end: whether it went well, its exit code, and the summary."""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as release
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from pipeline.actors.pool_status import PoolStatus
from pipeline.actors.report import PlaceReport, SecondReport, WorkReport
from pipeline.cameras.counts import CameraCounts
from pipeline.cameras.plan import FleetPlan
from pipeline.catalog.outcomes import Outcome
from pipeline.errors import BrokerError, CustodyError, RelayedError, ResourceError
from pipeline.matching import engine
from pipeline.runtime import demo_results
from pipeline.runtime.camera_job import CameraStatus
from pipeline.runtime.cameras import described
from pipeline.runtime.demo_results import exit_code, report, summarise, write_results
from pipeline.runtime.finished import Finished
from pipeline.runtime.live_cohorts import LiveCohorts
from pipeline.runtime.settings import Cameras, Demo, Settings
from pipeline.runtime.summary import Pool, Summary, read_summary
from pipeline.runtime.taps import CustodyFindings
from pipeline.runtime.truth import Verdict

GAP = "partition 0: offset 7 without an outcome"


def custody(processed: int = 20, *problems: str, **outcomes: int) -> CustodyFindings:
    """Receipts over frames."""
    counts = {outcome: outcomes.get(outcome, 0) for outcome in Outcome} | {Outcome.PROCESSED: processed}
    return CustodyFindings(counts, sum(counts.values()) - counts[Outcome.EXPIRED], list(problems))


def finished(
    found: CustodyFindings,
    *failures: BrokerError | RelayedError,
    counts: dict[str, CameraCounts] | None = None,
    work: WorkReport | None = None,
    out: Path = Path("out"),
) -> Finished:
    """The end of a demo of two cameras that sent 10 frames each, if not said otherwise."""
    settings = Settings(cameras=Cameras(count=2, width=320, height=240), demo=Demo(seconds=5.0, out=out))
    ten = CameraCounts(10, 10, 0)
    plan = FleetPlan(described(settings), 5.0)
    return Finished(
        settings=settings,
        run="run",
        plan=plan,
        cameras=CameraStatus(state="ended", counts=counts or {each.id: ten for each in plan.cameras}),
        work=work or WorkReport(outcomes={"processed": 20}),
        replaced=0,
        last_replaced="",
        custody=found,
        alerts=[],
        first_alert_seconds=None,
        kafka="4.4.0",
        failures=failures,
    )


def result(end: Finished, verdict: Verdict | None = None) -> tuple[Summary, int]:
    """Summary and exit code."""
    summary = summarise(end, verdict, 1)
    return summary, exit_code(end, summary)


def test_a_demo_in_which_every_frame_is_accounted_for_is_ok() -> None:
    """And ends with 0."""
    summary, code = result(finished(custody(18, shed=1, expired=1)))
    assert (summary.ok, summary.problems, code) == (True, [], 0)
    assert summary.custody.balanced


def test_a_gap_in_custody_is_not_ok_and_ends_with_8() -> None:
    """Though as many outcomes as frames were counted."""
    summary, code = result(finished(custody(20, GAP)))
    assert (summary.ok, summary.problems, code) == (False, [GAP], 8)
    assert not summary.custody.balanced


def test_frames_without_an_outcome_are_counted_and_end_with_8() -> None:
    """Those that were sent are held against those that have one, expired ones included."""
    summary, code = result(finished(custody(16, expired=1)))
    assert (summary.ok, summary.problems, code) == (False, ["3 frames that were sent have no outcome"], 8)


def test_frames_that_did_not_reach_kafka_are_no_success() -> None:
    """The broker never had them, so custody alone would not tell."""
    summary, code = result(finished(custody(10), counts={"north/cam-000": CameraCounts(12, 10, 2)}))
    assert (summary.problems, code) == (["2 frames did not reach Kafka"], 8)
    assert (summary.cameras.intended, summary.cameras.sent, summary.cameras.failed) == (12, 10, 2)
    summary, _ = result(finished(custody(10), counts={"north/cam-000": CameraCounts(12, 10, 2, 1)}))
    assert summary.problems == ["2 frames did not reach Kafka, 1 of them since they are larger than a frame may be"]


@pytest.mark.parametrize("failure", [RelayedError("worker-0 did not end in time", 5), BrokerError("it stays there")])
def test_a_part_that_fails_at_the_end_is_not_ok_and_ends_with_its_code(failure: BrokerError | RelayedError) -> None:
    """Custody balances, but somebody has to know."""
    summary, code = result(finished(custody(), failure))
    assert (summary.ok, summary.problems, code) == (False, [str(failure)], failure.exit_code)


def test_frames_that_are_unaccounted_for_outweigh_what_else_failed() -> None:
    """8 is what everybody looks for."""
    summary, code = result(finished(custody(20, GAP), RelayedError("worker-0 did not end in time", 5)))
    assert (summary.problems, code) == ([GAP, "worker-0 did not end in time"], 8)


def test_the_verdict_is_in_the_summary_if_there_is_one() -> None:
    """Video files have no ground truth."""
    summary, _ = result(finished(custody()), Verdict(4, 3, 1, 2, 9, 50))
    assert summary.truth is not None
    assert (summary.truth.planted_passes, summary.truth.alerted_passes) == (4, 3)
    assert (summary.truth.doubled_passes, summary.truth.false_alerts, summary.truth.faces) == (1, 2, 50)
    assert result(finished(custody()))[0].truth is None


def test_the_summary_says_how_often_an_elastic_pool_changed() -> None:
    """A fixed one has nothing to say."""
    pool = PoolStatus(
        least=1, most=4, wanted=2, grown=2, shrunk=1, latest=None, trouble="", metrics_port=0, node="127.0.0.1"
    )
    summary, _ = result(replace(finished(custody()), pool=pool))
    assert summary.pool == Pool(least=1, most=4, grown=2, shrunk=1)
    assert result(finished(custody()))[0].pool is None
    console = Console(file=StringIO(), record=True, width=200)
    report(summary, console)
    assert "1 to 4; the pool grew 2 times and shrank once" in console.export_text()


def test_the_summary_names_the_faiss_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with a GPU it is faiss-gpu, and faiss-cpu is not there to be asked."""

    def version(name: str) -> str:
        if name == "faiss-cpu":
            raise PackageNotFoundError(name)
        return "1.15.1" if name == "faiss-gpu" else release(name)

    monkeypatch.setattr(engine, "version", version)
    monkeypatch.setattr(demo_results, "version", version)
    summary, _ = result(finished(custody()))
    assert summary.versions["faiss-gpu"] == "1.15.1"
    assert "faiss-cpu" not in summary.versions
    assert summary.versions["kafka"] == "4.4.0"


def test_cameras_are_rows_below_the_limit_and_districts_above_it() -> None:
    """What was sent and what became of it stand in one row, never a camera's beside its district's."""
    counts = {camera: CameraCounts(10, 10, 0) for camera in ("north/1", "north/2", "lone")}
    cameras = {camera: PlaceReport(frames=10) for camera in counts}
    summary, _ = result(finished(custody(30), counts=counts, work=WorkReport(places=cameras)))
    assert [(row.camera, row.sent, row.frames) for row in summary.per_camera] == [
        ("lone", 10, 10), ("north/1", 10, 10), ("north/2", 10, 10),
    ]  # fmt: skip
    districts = {"north": PlaceReport(frames=20), "other": PlaceReport(frames=10)}
    summary, _ = result(finished(custody(30), counts=counts, work=WorkReport(places=districts, by_district=True)))
    assert [(row.camera, row.sent, row.frames) for row in summary.per_camera] == [
        ("north", 20, 20), ("other", 10, 10),
    ]  # fmt: skip


def test_results_are_written_also_when_they_are_bad(tmp_path: Path) -> None:
    """The summary, a sample frame, rates by cohort and the plots."""
    second = SecondReport()
    second.latency.add(0.1)
    work = WorkReport(seconds={1_800_000_000: second})
    said = StringIO()
    summary = write_results(finished(custody(20, GAP), work=work, out=tmp_path / "out"), 7, Console(file=said))
    assert f"problem: {GAP}" in said.getvalue()
    assert all(line == line.rstrip() for line in said.getvalue().splitlines())
    assert read_summary(tmp_path / "out" / "summary.json") == summary
    assert not summary.ok
    assert summary.memory_peak_bytes == 7
    for name in ("sample-frame.png", "cohorts.png", "latency.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG"), name
    assert (
        msgspec.json.decode((tmp_path / "out" / "cohorts.json").read_bytes(), type=LiveCohorts).provenance.run == "run"
    )


def test_what_was_measured_is_shown_though_it_cannot_be_written(tmp_path: Path) -> None:
    """A full disk costs the files, not the figures."""
    (tmp_path / "out").write_text("a file where the folder should be")
    said = StringIO()
    with pytest.raises(ResourceError, match="out"):
        write_results(finished(custody(20), out=tmp_path / "out"), 7, Console(file=said))
    assert "20 consumed = 20 processed" in said.getvalue()


def test_an_alert_that_the_receipts_do_not_know_or_that_was_not_read_is_a_problem() -> None:
    """Receipts and alerts are committed together, so their numbers agree."""
    found = msgspec.structs.replace(custody(20), alerts=1)
    summary, code = result(finished(found))
    assert summary.problems == ["the receipts speak of 1 alerts, and 0 were read"]
    assert code == CustodyError.exit_code
