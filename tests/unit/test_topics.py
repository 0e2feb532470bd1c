"""What is shown of topics, and what the doctor says of the broker."""

import pytest

from pipeline.catalog.topics import FRAMES, TOPICS
from pipeline.runtime.doctor_checks import Status
from pipeline.runtime.doctor_services import judge_broker_settings
from pipeline.runtime.topics import lines_of, topics_problem
from pipeline.streams.topics import Drift, TopicState

DESIGNED = TopicState(FRAMES, "camera frames", exists=True, partitions=4, replicas=1)


def test_a_missing_topic_says_how_to_make_it() -> None:
    """Every topic of the catalogue can be made by one command."""
    for topic in TOPICS:
        (line,) = lines_of(TopicState(topic.name, topic.purpose, exists=False))
        assert (line.topic, line.status) == (topic.name, "missing")
        assert "lamppost topics create" in line.found


def test_a_topic_as_designed_is_one_line() -> None:
    """With its size."""
    (line,) = lines_of(DESIGNED)
    assert line.status == "ok"
    assert "4 partitions, 1 replica" in line.found


def test_each_difference_is_a_line_with_what_it_leads_to() -> None:
    """A setting that cannot delete is the reason to look."""
    drift = (
        Drift("retention.ms", "120000", "604800000", "bytes stay in the files up to 604900 s"),
        Drift("x", "1", ""),
    )
    first, retention, other = lines_of(TopicState(FRAMES, "camera frames", exists=True, drift=drift))
    assert {first.status, retention.status, other.status} == {"drift"}
    assert "retention.ms=604800000, the design says 120000: bytes stay" in retention.found
    assert "x=unset" in other.found


def test_the_doctor_warns_of_broker_settings_that_break_promises() -> None:
    """Kafka's default looks for deletable segments every 300 s, and deletion is promised within 180 s."""
    (finding,) = judge_broker_settings({"log.retention.check.interval.ms": "300000"})
    assert finding.status is Status.WARN
    assert "log.retention.check.interval.ms=300000" in finding.found
    assert "10000" in finding.advice
    assert judge_broker_settings({"log.retention.check.interval.ms": "10000"})[0].status is Status.OK


def test_other_partitions_than_wanted_are_a_difference_and_no_breach_of_the_design() -> None:
    """The design states none for this topic; who asked for them did."""
    state = TopicState(FRAMES, "camera frames", exists=True, partitions=4, drift=(Drift("partitions", "8", "4"),))
    assert lines_of(state)[1].found == "partitions=4, 8 wanted"


def states(**partitions: int) -> list[TopicState]:
    """The catalogue's topics with a partition count each, 4 by default; 0 stands for a topic that is missing."""
    counts = {topic.name: partitions.get(topic.name.replace("-", "_"), 4) for topic in TOPICS}
    return [TopicState(name, "", exists=count > 0, partitions=count) for name, count in counts.items()]


def test_a_run_can_work_on_the_topics_of_the_design() -> None:
    """Receipts and the watchlist have one partition, and topics that follow the frames may have more."""
    assert topics_problem(states(watchlist=1, custody=1)) == ""
    assert topics_problem(states(alerts=8, dead_letters=8)) == ""


def test_every_topic_that_a_run_lacks_is_named_with_what_makes_it() -> None:
    """Without one of them its workers would fail, be replaced, and fail."""
    problem = topics_problem(states(custody=0, dead_letters=0))
    assert problem == "has no topic custody, dead-letters; make it with `lamppost topics create`"


@pytest.mark.parametrize("topic", ["alerts", "dead_letters"])
def test_a_topic_with_fewer_partitions_than_its_frames_is_refused(topic: str) -> None:
    """An alert of the last partition's camera could not be written."""
    problem = topics_problem(states(**{topic: 3}))
    assert f"has 3 partition(s) of {topic.replace('_', '-')} and 4 of frames" in problem
    assert "lamppost topics create --partitions 4" in problem
