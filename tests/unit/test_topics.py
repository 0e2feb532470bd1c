"""What is shown of topics, and what the doctor says of the broker."""

from pipeline.catalog.topics import FRAMES, TOPICS
from pipeline.runtime.doctor_checks import Status
from pipeline.runtime.doctor_services import judge_broker_settings
from pipeline.runtime.topics import lines_of
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
