"""The pure parts of the test of faults: what is to be run, what the oracle says, and the table of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadtest import faults
from loadtest.faults import main
from loadtest.faults_oracle import Fractions, Outage, Shown, judge
from loadtest.faults_results import Round, Wanted, append, missed, read, report, schedule
from loadtest.faults_round import late
from pipeline import __version__
from pipeline.catalog.outcomes import Outcome
from pipeline.errors import InputError, ResourceError
from pipeline.records import Alert, OutcomeRange, Receipt

THRESHOLD = 0.6
CAMERA = "faults/00001-cam-0"


def played(
    fault: str,
    number: int,
    *,
    problems: Sequence[str] = (),
    impossible: str = "",
    seen: float | None = 1.0,
    seed: int = 1,
    version: str = __version__,
) -> Round:
    """A round that ran."""
    return Round(
        fault=fault,
        number=number,
        seed=seed,
        version=version,
        began="2026-01-01T00:00:00.000+00:00",
        moment=3.0,
        victim="somebody",
        seen={"consuming": seen},
        whole=seen,
        sent=10,
        failed=0,
        expected=1,
        alerts=1,
        problems=list(problems),
        impossible=impossible,
    )


def test_the_order_depends_on_the_seed_alone_and_what_is_done_is_left_out() -> None:
    everything = schedule(["a", "b"], 20, 7, [])
    assert sorted((each.fault, each.number) for each in everything) == [(f, n) for f in "ab" for n in range(1, 21)]
    assert schedule(["a", "b"], 20, 7, []) == everything
    assert schedule(["a", "b"], 20, 8, []) != everything
    done = [played(each.fault, each.number, problems=["late"]) for each in everything[:5]]
    assert schedule(["a", "b"], 20, 7, done) == everything[5:], "a failure is a round that ran"


def test_what_was_not_possible_is_tried_again() -> None:
    assert schedule(["a"], 1, 1, [played("a", 1, impossible="no disk")]) == [Wanted("a", 1)]


def test_rounds_are_read_as_they_were_written_and_a_torn_line_is_written_over(tmp_path: Path) -> None:
    file = tmp_path / "faults.jsonl"
    assert read(file) == []
    first, second = played("a", 1), played("a", 2, seen=None)
    append(file, first)
    with file.open("ab") as out:
        out.write(msgspec.json.encode(second)[:40])
    assert read(file) == [first]
    append(file, second)
    assert read(file) == [first, second]


def test_a_whole_line_that_is_no_round_is_named(tmp_path: Path) -> None:
    file = tmp_path / "faults.jsonl"
    append(file, played("a", 1))
    with file.open("ab") as out:
        out.write(b"{}\n")
    with pytest.raises(InputError, match="line 2 is no round"):
        read(file)


def test_a_line_that_is_not_even_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "faults.jsonl"
    file.write_bytes(msgspec.json.encode(played("a", 1)).replace(b"somebody", b"some\xff") + b"\n")
    with pytest.raises(InputError, match="line 1 is no round"):
        read(file)


@pytest.mark.parametrize("arguments", [["--report"], []], ids=["report", "run"])
def test_a_folder_holds_no_rounds(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--results", str(tmp_path)]) in {InputError.exit_code, ResourceError.exit_code}
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "(Is a directory); name another --results" in said


def test_a_fault_is_missed_until_all_its_rounds_passed() -> None:
    done = [played("a", 1), played("a", 2), played("b", 1), played("b", 2, problems=["late"])]
    assert missed(["a", "b", "c"], 2, done) == ["b", "c"]
    assert missed(["a"], 1, [played("a", 1, impossible="no disk")]) == ["a"]


@pytest.mark.parametrize("other", [{"seed": 2}, {"version": "0.0.9"}], ids=["seed", "version"])
def test_a_round_of_another_seed_or_version_is_played_anew(
    other: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "faults.jsonl"
    append(file, played("worker", 1, problems=["it was late"], **other))
    missing: list[Wanted] = []

    def play(session: faults._Session) -> None:
        missing.extend(session._missing)
        append(file, played("worker", 1))

    monkeypatch.setattr(faults._Session, "run", play)
    arguments = ["--times", "1", "--fault", "worker", "--results", str(file)]
    assert main(arguments) == 0, "a failure of another run is none of this one"
    said = capsys.readouterr().out
    assert missing == [Wanted("worker", 1)]
    assert "it was late" not in said
    assert "not counted, of another seed than 1 or version than" in said
    assert main([*arguments, "--report"]) == 0
    assert "it was late" in capsys.readouterr().out


def test_old_rounds_alone_do_not_pass(tmp_path: Path) -> None:
    file = tmp_path / "faults.jsonl"
    append(file, played("worker", 1, version="0.0.9"))
    assert main(["--report", "--times", "1", "--fault", "worker", "--results", str(file)]) == 1


def test_the_report_counts_failures_and_tells_never_from_late() -> None:
    done = [
        played("a", 1, seen=1.0),
        played("a", 2, seen=3.0),
        played("a", 3, seen=None, problems=["never"]),
        played("b", 1, impossible="no mount"),
    ]
    rows = report({"a": {"consuming": 15.0}, "b": {"consuming": 15.0}, "c": {"consuming": 1.0}}, done)
    assert rows[1] == ("a", "3", "1", "consuming", "1.0 s", "3.0 s", "never", "15 s")
    assert rows[2][3:7] == ("whole again", "1.0 s", "3.0 s", "never")
    assert rows[3][:4] == ("b", "0", "–", "not possible here: no mount")
    assert rows[4][:4] == ("c", "0", "–", "not run")


def test_a_sign_is_late_beyond_its_limit_and_when_it_was_never_seen() -> None:
    assert late({"consuming": 14.9, "gone": 30.0}, {"consuming": 15.0, "gone": 30.0}) == []
    assert late({"consuming": 15.1}, {"consuming": 15.0}) == ["consuming: after 15.1 s, the limit is 15 s"]
    assert late({"consuming": None}, {"consuming": 15.0}) == ["consuming: never, the limit is 15 s"]


def frame(offset: int | None, scores: Mapping[str, float], *, camera: str = CAMERA, faces: int = 1) -> Shown:
    """A frame of partition 0."""
    return Shown(camera, scores, faces, 0, offset)


def receipt(first: int, end: int, *, alerts: int = 0, fraction: float = 1.0, at: int = 0) -> Receipt:
    """A receipt of partition 0."""
    return Receipt(
        run="r",
        slot=0,
        batch=0,
        decided_ns=at,
        ranges=(OutcomeRange(0, first, end, Outcome.PROCESSED),),
        alerts=alerts,
        watchlist_version_lowest=1,
        watchlist_version_greatest=1,
        fraction_searched=fraction,
    )


def alert(entry: str, *, camera: str = CAMERA, fraction: float = 1.0, at: int = 0) -> Alert:
    """An alert of the round."""
    return Alert(
        id=entry,
        camera=camera,
        camera_run="r",
        sequence=0,
        entry=entry,
        score=0.9,
        threshold=THRESHOLD,
        capture_ns=0,
        cooldown_ns=0,
        append_ns=0,
        decided_ns=at,
        box=(0.0, 0.0, 1.0, 1.0),
        frame_partition=0,
        frame_offset=0,
        watchlist_version=1,
        embedder_version="e",
        fraction_searched=fraction,
        run="r",
        slot=0,
    )


def test_a_clear_pass_alerts_once() -> None:
    shown = [frame(0, {"p": 0.5}), frame(1, {"p": 0.7}), frame(2, {"p": 0.66})]
    verdict = judge(shown, [alert("p")], [receipt(0, 3, alerts=1)], THRESHOLD)
    assert (verdict.expected, list(verdict.problems)) == (1, [])


def test_a_pass_that_does_not_alert_is_told_and_one_near_the_threshold_may_do_either() -> None:
    shown = [frame(0, {"clear": 0.66, "near": 0.64})]
    (problem,) = judge(shown, [], [receipt(0, 1)], THRESHOLD).problems
    assert problem.startswith("clear at ")
    both = judge(shown, [alert("clear"), alert("near")], [receipt(0, 1, alerts=2)], THRESHOLD)
    assert (both.expected, list(both.problems)) == (1, [])


def test_no_pass_alerts_twice_whatever_its_score() -> None:
    verdict = judge([frame(0, {"near": 0.61})], [alert("near")] * 2, [receipt(0, 1, alerts=2)], THRESHOLD)
    (problem,) = verdict.problems
    assert problem.startswith(f"near at {CAMERA} alerted 2 times: frame 0 (offset 0) after 0.00 s, decided by slot 0")


def test_the_next_showing_is_a_pass_of_its_own() -> None:
    shown = [frame(0, {"p": 0.7}), frame(1, {"p": 0.7}, camera="faults/00002-cam-0")]
    alerts = [alert("p"), alert("p", camera="faults/00002-cam-0")]
    verdict = judge(shown, alerts, [receipt(0, 2, alerts=2)], THRESHOLD)
    assert (verdict.expected, list(verdict.problems)) == (2, [])


def test_a_frame_that_kafka_never_acknowledged_may_be_there_and_need_not() -> None:
    shown = [frame(None, {"p": 0.7})]
    assert judge(shown, [], [], THRESHOLD).expected == 0
    assert judge(shown, [alert("p")], [receipt(0, 1, alerts=1)], THRESHOLD).problems == []


def test_an_alert_that_no_frame_explains_is_told() -> None:
    (problem,) = judge([frame(0, {"p": 0.54})], [alert("p")], [receipt(0, 1, alerts=1)], THRESHOLD).problems
    assert "0.540 at most" in problem


def test_receipts_have_to_speak_of_the_alerts_and_of_processed_frames_alone() -> None:
    shed = msgspec.structs.replace(receipt(0, 2, alerts=1), ranges=(OutcomeRange(0, 0, 2, Outcome.SHED),))
    problems = judge([frame(0, {})], [], [shed], THRESHOLD).problems
    assert problems == ["the receipts speak of 1 alerts, and 0 were read", "2 frames shed"]


def test_a_run_that_waits_searches_everything() -> None:
    (problem,) = judge([frame(0, {})], [], [receipt(0, 1, fraction=0.5)], THRESHOLD).problems
    assert "was to wait" in problem


OUTAGE = Outage({"lost"}, 100, 200)


def test_under_degrade_passes_count_by_what_was_searched() -> None:
    shown = [frame(0, {"lost": 0.9, "kept": 0.9}), frame(1, {"lost": 0.9})]
    dark = receipt(0, 1, alerts=1, fraction=0.5, at=150)
    kept = alert("kept", fraction=0.5, at=150)
    without = judge(shown, [kept], [dark, receipt(1, 2, fraction=0.5, at=160)], THRESHOLD, OUTAGE)
    assert (without.expected, list(without.problems)) == (1, [])
    later = judge(shown, [kept], [dark, receipt(1, 2, at=300)], THRESHOLD, OUTAGE)
    assert later.problems == [f"lost at {CAMERA} (score 0.900) did not alert"]


def test_under_degrade_what_was_decided_in_the_outage_says_so() -> None:
    shown = [frame(0, {"kept": 0.9}), frame(1, {}, faces=0)]
    silent = judge(shown, [alert("kept", at=150)], [receipt(0, 1, alerts=1, at=150)], THRESHOLD, OUTAGE)
    assert silent.problems == [
        "1 of 1 receipts of the outage do not say that a shard was missing",
        "1 alerts of the outage do not say that a shard was missing",
    ]
    (nobody,) = judge([shown[1]], [], [receipt(1, 2, at=150)], THRESHOLD, OUTAGE).problems
    assert nobody.startswith("no receipt of a search"), "a batch without a face searches nothing"


def test_the_fraction_of_an_offset_is_that_of_its_receipt() -> None:
    fractions = Fractions([receipt(5, 8, fraction=0.5), receipt(0, 5)])
    assert [fractions.of(0, offset) for offset in (0, 4, 5, 7, 8)] == [1.0, 1.0, 0.5, 0.5, None]
    assert fractions.of(1, 0) is None
