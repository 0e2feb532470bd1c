"""What canaries say of deletion, and how files that Kafka moves about are searched."""

from pathlib import Path
from typing import Any

import pytest

from loadtest.broker_files import still_there
from loadtest.deletion import Plan, broker_settings, scaled_topic
from loadtest.deletion_figures import Canary, Figure, figures, line
from pipeline.catalog.topics import FRAMES, TOPICS, WATCHLIST
from pipeline.streams.deletion import broker_advice

BY_NAME = {topic.name: topic for topic in TOPICS}


def canary(what: str = "pictures", promised: float | None = 180.0, gone_after: float | None = 130.0) -> Canary:
    """One that was appended at 10 s and found."""
    gone_at = None if gone_after is None else 10.0 + gone_after
    return Canary(what, b"x", promised, since=10.0, seen=True, gone_at=gone_at)


def test_a_canary_has_gone_once_it_was_found_and_then_is_not() -> None:
    """One that was never found has not gone."""
    watched = Canary("pictures", b"x", 180.0, since=0.0)
    watched.note(False, 1.0)
    assert (watched.seen, watched.gone_at) == (False, None)
    watched.note(True, 2.0)
    watched.note(False, 3.0)
    assert (watched.seen, watched.gone_at) == (True, 3.0)


def test_a_canary_is_awaited_until_it_has_gone_or_twice_the_promise_is_over() -> None:
    """One that is not removed yet is, and one that is to stay never."""
    assert Canary("templates", b"x", 60.0).awaited(10_000.0)
    there = canary(gone_after=None)
    assert there.awaited(10.0 + 359.0)
    assert not there.awaited(10.0 + 361.0)
    assert not canary().awaited(150.0)
    assert not canary(promised=None, gone_after=None).awaited(0.0)


def test_figures_are_of_each_kind_from_append_to_the_first_search_without_it() -> None:
    """Least, median and most."""
    pictures, templates = figures(
        [canary(gone_after=130.0), canary("templates", 60.0, 40.0), canary(gone_after=140.0), canary(gone_after=139.0)]
    )
    assert pictures == Figure("pictures", 3, 3, 3, 130.0, 139.0, 140.0, 180.0)
    first, then = "pictures: 3 of 3 found in the files first", "3 gone after 130.0 to 140.0 s (median 139.0 s)"
    assert line(pictures) == f"{first}, {then}; target 180 s: reached"
    assert (templates.most, templates.reached) == (40.0, True)


@pytest.mark.parametrize(
    "missed",
    [
        canary(gone_after=180.1),
        canary(gone_after=None),
        Canary("pictures", b"x", 180.0, since=10.0),
        canary(promised=None, gone_after=5.0),
    ],
    ids=["late", "never", "never found", "gone though it was to stay"],
)
def test_what_is_late_or_was_never_there_is_missed(missed: Canary) -> None:
    """A search that finds nothing must not look like a deletion."""
    (figure,) = figures([missed])
    assert not figure.reached
    assert line(figure).endswith(("MISSED", "NOT ALL OF THEM"))


def test_a_control_that_stays_is_as_it_has_to_be() -> None:
    """It shows that the search finds what is there."""
    (figure,) = figures([canary("control", None, None)])
    assert figure.reached
    assert line(figure) == "control: 1 of 1 found in the files first; 1 still there at the end, as it has to be"


def test_every_file_below_the_folders_is_searched(tmp_path: Path) -> None:
    """Whatever its name: one that Kafka has marked for deletion holds what it held."""
    for name, content in (("a/0.log", b"..one.."), ("a/0.log.deleted", b"two"), ("b/c/kafka.log", b"three")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    wanted = [b"one", b"two", b"three", b"four"]
    assert still_there([tmp_path / "a", tmp_path / "b"], wanted) == {b"one", b"two", b"three"}
    assert still_there([tmp_path / "a"], wanted) == {b"one", b"two"}


def test_a_file_that_goes_before_it_is_opened_makes_all_be_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compaction puts the records of one file into another, which was not there when the files were listed."""
    (tmp_path / "0.log").write_bytes(b"template")
    really, opened = Path.open, []

    def compacting(path: Path, mode: str) -> Any:
        opened.append(path.name)
        if len(opened) == 1:
            path.rename(tmp_path / "0.log.swap")
        return really(path, mode)

    monkeypatch.setattr(Path, "open", compacting)
    assert still_there([tmp_path], [b"template"]) == {b"template"}
    assert opened == ["0.log", "0.log.swap"]


def test_what_is_searched_no_more_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once everything is found, or nothing is asked for."""
    (tmp_path / "0.log").write_bytes(b"template")
    opened, really = [], Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode: opened.append(path) or really(path, mode))
    assert still_there([tmp_path], []) == frozenset()
    assert opened == []
    still_there([tmp_path], [b"template"])
    assert len(opened) == 1


def test_every_time_of_a_topic_is_scaled_and_nothing_else() -> None:
    """A tenth of all times has the same order of things."""
    frames = scaled_topic(BY_NAME[FRAMES], 0.1)
    assert (frames.config["retention.ms"], frames.config["segment.ms"]) == ("12000", "1000")
    assert frames.config["max.message.bytes"] == BY_NAME[FRAMES].config["max.message.bytes"]
    watchlist = scaled_topic(BY_NAME[WATCHLIST], 0.1)
    assert watchlist.config["min.cleanable.dirty.ratio"] == "0.01"
    assert scaled_topic(BY_NAME[WATCHLIST], 1.0) == BY_NAME[WATCHLIST]


def test_the_broker_is_the_slowest_that_the_doctor_accepts() -> None:
    """A promise that held with a faster one alone would be worth less."""
    settings = broker_settings(Plan())
    assert broker_advice(settings) == []
    for name in ("log.retention.check.interval.ms", "log.cleaner.backoff.ms"):
        assert broker_advice({name: str(int(settings[name]) + 1)})
    assert broker_settings(Plan(0.1, broker={"log.cleaner.backoff.ms": "7"}))["log.cleaner.backoff.ms"] == "7"
