"""A frame alerts for the best face of each entry over the threshold, once per pass."""

from dataclasses import dataclass

from pipeline.core.alerting import Criteria, Sighting, alert_id, decide
from pipeline.core.cooldown import Cooldown
from pipeline.records import Alert, Candidate

SECOND = 10**9
CRITERIA = Criteria(threshold=0.6, top_k=5, embedder_version="eyes-1", run="r", slot=2)
LEFT, RIGHT = (0.0, 0.0, 40.0, 50.0), (100.0, 0.0, 140.0, 50.0)


@dataclass(frozen=True)
class Frame:
    """A frame as the worker describes it."""

    sequence: int = 7
    capture_ns: int = 100 * SECOND
    append_ns: int = 101 * SECOND
    clock_trusted: bool = True
    partition: int = 1
    offset: int = 55
    camera: str = "north/7"
    camera_run: str = "run-a"

    @property
    def matching_ns(self) -> int:
        """Capture time, or append time of a clock-untrusted camera."""
        return self.capture_ns if self.clock_trusted else self.append_ns


def alerts(frame: Frame, *faces: Sighting, cooldown: Cooldown | None = None) -> list[Alert]:
    """What a frame with `faces` alerts."""
    return decide(frame, faces, CRITERIA, cooldown or Cooldown(30), 102 * SECOND, fraction_searched=0.5)


def face(box: tuple[float, float, float, float], **scores: float) -> Sighting:
    """A face whose candidates have the given scores."""
    return Sighting(box, tuple(Candidate(entry, score, 9, f"ref-{entry}") for entry, score in scores.items()))


def test_alert_says_all_that_it_was_decided_by() -> None:
    """Frame, face, entry, versions, threshold and times are those of the decision."""
    assert alerts(Frame(), face(LEFT, p1=0.75)) == [
        Alert(
            id=alert_id("north/7", "run-a", 7, "p1"),
            camera="north/7",
            camera_run="run-a",
            sequence=7,
            entry="p1",
            reference="ref-p1",
            score=0.75,
            threshold=0.6,
            capture_ns=100 * SECOND,
            cooldown_ns=100 * SECOND,
            append_ns=101 * SECOND,
            decided_ns=102 * SECOND,
            box=LEFT,
            frame_partition=1,
            frame_offset=55,
            watchlist_version=9,
            embedder_version="eyes-1",
            fraction_searched=0.5,
            run="r",
            slot=2,
        )
    ]


def test_score_at_the_threshold_alerts() -> None:
    """The threshold is the lowest score that alerts."""
    assert [alert.entry for alert in alerts(Frame(), face(LEFT, p1=0.6, p2=0.599))] == ["p1"]


def test_best_face_of_an_entry_counts() -> None:
    """Two faces that resemble one entry are one alert, of the better face; of equal ones the first."""
    assert [(a.box, a.score) for a in alerts(Frame(), face(LEFT, p1=0.7), face(RIGHT, p1=0.8))] == [(RIGHT, 0.8)]
    assert [a.box for a in alerts(Frame(), face(LEFT, p1=0.7), face(RIGHT, p1=0.7))] == [LEFT]


def test_one_face_may_alert_for_two_entries() -> None:
    """A face that resembles two people sought alerts for both: the operator decides."""
    assert [alert.entry for alert in alerts(Frame(), face(LEFT, p2=0.7, p1=0.8))] == ["p1", "p2"]


def test_nothing_over_the_threshold_alerts_nothing() -> None:
    """Neither faces without candidates nor frames without faces alert."""
    assert alerts(Frame(), face(LEFT), face(RIGHT, p1=0.59)) == []
    assert alerts(Frame()) == []


def test_one_pass_is_one_alert() -> None:
    """Frames within the cool-down stay quiet even if their face is a better one."""
    cooldown = Cooldown(30)
    assert alerts(Frame(), face(LEFT, p1=0.7), cooldown=cooldown)
    assert not alerts(Frame(8, 110 * SECOND), face(LEFT, p1=0.9), cooldown=cooldown)
    assert alerts(Frame(9, 130 * SECOND), face(LEFT, p1=0.7), cooldown=cooldown)


def test_untrusted_clock_cools_down_by_append_time() -> None:
    """A camera whose clock stands still would otherwise alert once and never again."""
    cooldown = Cooldown(30)
    stuck = [Frame(n, 5, (100 + 20 * n) * SECOND, clock_trusted=False) for n in range(3)]
    found = [alerts(frame, face(LEFT, p1=0.7), cooldown=cooldown) for frame in stuck]
    assert [len(made) for made in found] == [1, 0, 1]
    assert found[2][0].cooldown_ns == 140 * SECOND
    assert found[2][0].capture_ns == 5


def test_id_is_made_of_frame_and_entry_alone() -> None:
    """A replay whose scores and boxes differ in the last bit makes the same alert."""
    first, again = alerts(Frame(), face(LEFT, p1=0.7)), alerts(Frame(offset=99), face(RIGHT, p1=0.70001))
    assert first[0].id == again[0].id
    assert len(first[0].id) == 32


def test_ids_of_different_frames_differ() -> None:
    """Any part that differs makes another id, and parts cannot run into each other."""
    ids = {
        alert_id("a", "r", 1, "p"),
        alert_id("b", "r", 1, "p"),
        alert_id("a", "s", 1, "p"),
        alert_id("a", "r", 2, "p"),
        alert_id("a", "r", 1, "q"),
        alert_id("a", "r1", 1, "p"),
        alert_id("ar", "", 1, "p"),
        alert_id("a", "r", 11, "p"),
        alert_id("a", "r", 1, "1p"),
    }
    assert len(ids) == 9


def test_id_never_changes() -> None:
    """Reviews refer to alerts by id, across releases."""
    assert alert_id("north/7", "run-a", 7, "p1") == "03d4c5ab7b7216cd5004eeb444b5f6cd"
