"""What a group has committed is asked again while it has no coordinator, and no longer than that."""

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline.streams import commits
from pipeline.streams.commits import AGAIN_CODES, committed

ASKED = [TopicPartition("frames", 1)]
ANSWER = [TopicPartition("frames", 1, 7)]


class Member:
    """A consumer that answers with some errors first."""

    def __init__(self, *errors: int) -> None:
        self._errors = list(errors)
        self.questions = 0

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """As a consumer's."""
        assert asked is ASKED
        assert timeout > 0
        self.questions += 1
        if self._errors:
            raise KafkaException(KafkaError(self._errors.pop(0)))
        return ANSWER


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a pause between two questions."""
    monkeypatch.setattr(commits, "RETRY_SECONDS", 0.001)


def test_a_group_without_a_coordinator_is_asked_for_again() -> None:
    """A broker that has just started, or has just taken the group over, is none yet."""
    member = Member(*AGAIN_CODES)
    assert committed(member, ASKED, 5.0) is ANSWER
    assert member.questions == len(AGAIN_CODES) + 1


def test_another_error_is_one_at_once() -> None:
    """Also that no answer came in time: all of it was waited for."""
    for code in (KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError._TIMED_OUT):
        member = Member(code)
        with pytest.raises(KafkaException):
            committed(member, ASKED, 5.0)
        assert member.questions == 1


def test_a_group_that_stays_without_a_coordinator_is_an_error() -> None:
    """After the time that the caller has."""
    with pytest.raises(KafkaException):
        committed(Member(*[KafkaError.NOT_COORDINATOR] * 10_000), ASKED, 0.02)
