"""Alerts held against what was planted: right, doubled, false, missed."""

import msgspec
import pytest
from listed_street import ALERT, CAMERA, listed_street

from pipeline.records import Alert
from pipeline.runtime.truth import NOTHING, join, join_all, judge, judge_all
from pipeline.synthetic.street import PlantedPass, Street


@pytest.fixture(scope="module")
def street() -> Street:
    """A street on which listed people and others walk."""
    return listed_street()


@pytest.fixture(scope="module")
def sent(street: Street) -> int:
    """Frames that were sent: two rounds."""
    return 2 * street.frames_per_loop


@pytest.fixture(scope="module")
def planted(street: Street, sent: int) -> list[PlantedPass]:
    """The passes that should have alerted."""
    return [
        each
        for each in street.passes(0, sent - 1)
        if each.listed and each.within_working_distance and each.last_sequence < sent - 1
    ]


def alert(planted: PlantedPass, sequence: int | None = None) -> Alert:
    """An alert for the person of a pass, on its first frame if not said otherwise."""
    return msgspec.structs.replace(
        ALERT, sequence=planted.first_sequence if sequence is None else sequence, entry=planted.entry
    )


def test_each_pass_with_an_alert_for_its_person_is_right(street: Street, sent: int, planted: list[PlantedPass]) -> None:
    """Nothing is false, doubled or missed."""
    verdict = judge(join(street, sent, map(alert, planted)))
    assert len(planted) > 3
    assert (verdict.planted_passes, verdict.alerted_passes) == (len(planted), len(planted))
    assert (verdict.false_alerts, verdict.doubled_passes) == (0, 0)


def test_without_alerts_every_planted_pass_is_missed(street: Street, sent: int, planted: list[PlantedPass]) -> None:
    """People who are not listed are counted apart, and all faces are."""
    verdict = judge(join(street, sent, []))
    passes = street.passes(0, sent - 1)
    assert (verdict.planted_passes, verdict.alerted_passes, verdict.false_alerts) == (len(planted), 0, 0)
    assert verdict.non_mated_passes == sum(not each.listed for each in passes)
    assert verdict.faces == 2 * sum(len(street.truth(n).faces) for n in range(street.frames_per_loop))


def test_two_alerts_of_one_pass_are_one_right_and_one_doubled(
    street: Street, sent: int, planted: list[PlantedPass]
) -> None:
    """A cool-down that was lost shows so; it makes no false alert."""
    first = max(planted, key=lambda each: each.last_sequence - each.first_sequence)
    verdict = judge(join(street, sent, [alert(first), alert(first, first.last_sequence)]))
    assert (verdict.alerted_passes, verdict.doubled_passes, verdict.false_alerts) == (1, 1, 0)


def test_the_next_pass_of_a_person_is_no_double(street: Street, sent: int, planted: list[PlantedPass]) -> None:
    """The same people walk in every round."""
    rounds = [each for each in planted if each.entry == planted[0].entry]
    assert len(rounds) >= 2
    verdict = judge(join(street, sent, map(alert, rounds)))
    assert (verdict.alerted_passes, verdict.doubled_passes) == (len(rounds), 0)


def test_an_alert_that_no_pass_of_its_person_explains_is_false(
    street: Street, sent: int, planted: list[PlantedPass]
) -> None:
    """For somebody who was not there, or not at that time."""
    stranger = msgspec.structs.replace(alert(planted[0]), entry="nobody")
    own = [each for each in street.passes(0, sent - 1) if each.entry == planted[0].entry]
    away = next(n for n in range(sent) if not any(p.first_sequence <= n <= p.last_sequence for p in own))
    verdict = judge(join(street, sent, [stranger, alert(planted[0], away)]))
    assert (verdict.false_alerts, verdict.alerted_passes) == (2, 0)


def test_a_camera_that_sent_nothing_has_no_truth(street: Street) -> None:
    """It may have been interrupted before its first frame."""
    assert judge(join(street, 0, [])) == NOTHING


def test_alerts_of_cameras_that_there_are_not_are_false(street: Street, sent: int, planted: list[PlantedPass]) -> None:
    """Verdicts of cameras add up."""
    elsewhere = msgspec.structs.replace(alert(planted[0]), camera="nowhere/1")
    verdict = judge_all(*join_all({CAMERA: street}, {CAMERA: sent}, [*map(alert, planted), elsewhere]))
    alone = judge(join(street, sent, map(alert, planted)))
    assert verdict == msgspec.structs.replace(alone, false_alerts=1)
