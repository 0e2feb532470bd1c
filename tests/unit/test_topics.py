"""What is shown of topics, and what the doctor says of the broker."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.catalog.topics import FRAMES, TOPICS, settings_of
from pipeline.errors import BrokerError
from pipeline.runtime import doctor_services
from pipeline.runtime import topics as job
from pipeline.runtime.doctor_checks import Status
from pipeline.runtime.doctor_services import judge_broker_settings, judge_topics
from pipeline.runtime.settings import Kafka, Settings
from pipeline.runtime.topics import checked_broker, checked_topic, lines_of, topics_problem
from pipeline.streams.client import broker_error
from pipeline.streams.drift import Drift, TopicState
from pipeline.streams.probe import PROTOCOL_ADVICE
from pipeline.streams.topics import TopicAdmin

DESIGNED = TopicState(FRAMES, "camera frames", exists=True, partitions=4, replicas=1)


def test_a_missing_topic_says_how_to_make_it() -> None:
    """Every topic of the catalogue can be made by one command."""
    for topic in TOPICS:
        (line,) = lines_of(TopicState(topic.name, topic.purpose, exists=False))
        assert (line.topic, line.status) == (topic.name, "missing")
        assert "is not there, or this user may not see it; make it with `lamppost topics create`" in line.found


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
    slow = {"log.retention.check.interval.ms": "300000"}
    (finding,) = judge_broker_settings({1: slow})
    assert finding.status is Status.WARN
    assert "log.retention.check.interval.ms=300000: expired" in finding.found
    assert "10000" in finding.advice
    right = {"log.retention.check.interval.ms": "10000"}
    assert judge_broker_settings({1: right})[0].status is Status.OK
    (finding,) = judge_broker_settings({1: slow, 2: right, 3: slow})
    assert "=300000 on broker 1, 3: expired" in finding.found


def test_a_check_has_a_row_for_each_topic_and_for_each_way_in_which_it_differs() -> None:
    """With what was found, what is wanted, and what it means."""
    assert checked_topic(DESIGNED) == [(FRAMES, "ok", "", "4 partitions, 1 replica", "", "")]
    drift = (Drift("retention.ms", "120000", "-1", "pictures stay"), Drift("x", "1", ""))
    assert checked_topic(TopicState(FRAMES, "", exists=True, drift=drift)) == [
        (FRAMES, "drift", "retention.ms", "-1", "120000", "pictures stay"),
        (FRAMES, "drift", "x", "unset", "1", ""),
    ]
    ((_, state, *_, meaning),) = checked_topic(TopicState(FRAMES, "", exists=False))
    assert state == "missing"
    assert meaning.startswith("it is not there, or this user may not see it; make it with `lamppost topics create`, or")


def test_a_check_of_a_broker_says_how_long_what_the_topics_hold_stays_there() -> None:
    """As they are, not as designed; what is about groups is the doctor's."""
    there = [TopicState(topic.name, topic.purpose, exists=True, settings=settings_of(topic, 1)) for topic in TOPICS[:2]]
    slow = {"log.retention.check.interval.ms": "300000", "group.consumer.session.timeout.ms": "45000"}
    (row,) = checked_broker(7, slow, there)
    assert row[:5] == ("broker 7", "drift", "log.retention.check.interval.ms", "300000", "at most 10000")
    assert row.meaning.endswith("looks; pictures stay in the files up to 431 s; 180 s are promised")
    (row,) = checked_broker(7, {"log.cleaner.enable": "false"}, there)
    assert row.meaning.endswith("removed templates stay in the files for ever; 60 s are promised")
    assert checked_broker(7, {}, there) == [("broker 7", "ok", "", "", "", "")]


def failure(code: int, reason: str) -> BrokerError:
    """As a call of the admin client's raises it."""
    try:
        cause = KafkaException(KafkaError(code, reason))
        raise broker_error("k:9092", "reading settings", cause) from cause
    except BrokerError as error:
        return error


DENIED = failure(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "denied")
DEAD = failure(KafkaError._TRANSPORT, "went away")


def test_a_broker_that_does_not_tell_its_settings_is_no_success_and_hides_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether it deletes in time cannot be said then; only one that refuses wants a right."""

    class Telling:
        def __init__(self, _: object) -> None: ...

        def describe(self, *_: object, **__: object) -> list[TopicState]:
            return [DESIGNED]

        def broker_settings(self) -> dict[int, dict[str, str] | BrokerError]:
            return {1: {}, 2: DEAD, 3: DENIED}

    monkeypatch.setattr(job, "TopicAdmin", Telling)
    monkeypatch.setattr(job, "probe", lambda _: None)
    topic, first, dead, denied = job.check(Settings(kafka=Kafka(brokers="k:9092")))
    assert (topic.state, first[:2]) == ("ok", ("broker 1", "ok"))
    assert (dead[:2], denied[:2]) == (("broker 2", "unknown"), ("broker 3", "unknown"))
    assert "went away" in dead.meaning
    assert ("DescribeConfigs" in dead.meaning, "DescribeConfigs" in denied.meaning) == (False, True)


def test_the_doctor_tells_brokers_that_are_unknown_from_those_that_are_slow() -> None:
    """What one answers is not lost with another, and none is as promised that did not answer."""
    slow, dead, denied = judge_broker_settings({1: {"log.cleaner.enable": "false"}, 2: DEAD, 3: DENIED})
    assert "log.cleaner.enable=false on broker 1" in slow.found
    assert ("broker 2 unknown" in dead.found, dead.advice) == (True, "")
    assert ("broker 3 unknown" in denied.found, "DescribeConfigs" in denied.advice) == (True, True)
    assert [each.status for each in judge_broker_settings({1: DEAD})] == [Status.WARN]


def test_a_broker_that_does_not_answer_is_known_by_its_error_and_the_next_is_asked() -> None:
    """Its own, or none of the others' answers would be had."""

    class Brokers(TopicAdmin):
        def __init__(self) -> None: ...

        def _metadata(self) -> Any:
            return SimpleNamespace(brokers={2: None, 1: None})

        def _settings(self, resources: list[Any]) -> dict[str, dict[str, str]]:
            if resources[0].name == "1":
                raise DEAD
            return {resources[0].name: {"a": "b"}}

    assert Brokers().broker_settings() == {1: DEAD, 2: {"a": "b"}}


def test_the_doctor_warns_of_what_differs_and_not_of_how_large_a_topic_is() -> None:
    """One warning for each thing to put right."""
    drifted = TopicState(FRAMES, "", exists=True, partitions=4, replicas=1, drift=(Drift("retention.ms", "1", "2"),))
    (finding,) = judge_topics([drifted, TopicState("alerts", "", exists=True, partitions=4, replicas=1)])
    assert finding[1:3] == (Status.WARN, "frames: retention.ms=2, the design says 1")
    (finding,) = judge_topics([TopicState(FRAMES, "", exists=False)])
    assert (finding.status, finding.advice) == (Status.WARN, "lamppost topics create")
    assert judge_topics([DESIGNED])[0].status is Status.OK


def test_the_doctor_adds_no_advice_to_the_probes_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which knows what it met."""

    def fail(_: object) -> None:
        raise BrokerError(f"no; {PROTOCOL_ADVICE}")

    monkeypatch.setattr(doctor_services, "probe", fail)
    (_, check) = doctor_services.checks_of(Settings(kafka=Kafka(brokers="k:9092")))[1]
    assert check() == [("Kafka", Status.FAIL, f"no; {PROTOCOL_ADVICE}", "")]


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
    assert problem.startswith("has no topic custody, dead-letters that this user may see; make it with `lamppost")


@pytest.mark.parametrize("topic", ["alerts", "dead_letters"])
def test_a_topic_with_fewer_partitions_than_its_frames_is_refused(topic: str) -> None:
    """An alert of the last partition's camera could not be written."""
    problem = topics_problem(states(**{topic: 3}))
    assert f"has 3 partition(s) of {topic.replace('_', '-')} and 4 of frames" in problem
    assert "lamppost topics create --partitions 4" in problem
