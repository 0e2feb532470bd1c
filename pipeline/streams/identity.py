"""Whether a topic is still the one that was read from: another may have been made under its name."""

import time
from typing import Any, Final

from confluent_kafka import KafkaException

from pipeline.errors import BrokerError
from pipeline.streams.client import PASSING_CODES, broker_error
from pipeline.streams.offsets import ASK_SECONDS, RETRY_SECONDS, LogEnds

CHECK_SECONDS: Final = 2.0


class TopicIdentity:
    """Asks for the id that Kafka gave a topic when it was made, again and again and without waiting for the answer.

    Offsets tell it only while the new log is shorter than the old one was.
    """

    def __init__(self, ends: LogEnds, brokers: str, topic: str) -> None:
        """Wait for the id; raises BrokerError without an answer."""
        self._ends, self._brokers, self._topic = ends, brokers, topic
        self._answer: Any = None
        self._due = time.monotonic() + CHECK_SECONDS
        until = time.monotonic() + ASK_SECONDS
        while True:
            try:
                self._id = str(ends.description().result().topic_id)
            except KafkaException as error:
                if error.args[0].code() not in PASSING_CODES or time.monotonic() >= until:
                    raise broker_error(brokers, f"asking for {topic}", error) from error
                time.sleep(RETRY_SECONDS)
            else:
                return

    def check(self) -> None:
        """Look at the last answer, and ask again in time; raises BrokerError if the topic is another by now."""
        if self._answer is None:
            if time.monotonic() >= self._due:
                self._answer = self._ends.description()
            return
        if not self._answer.done():
            return
        answer, self._answer = self._answer, None
        self._due = time.monotonic() + CHECK_SECONDS
        try:
            found = str(answer.result().topic_id)
        except KafkaException:
            return  # a Kafka or a topic that is away is its reader's to tell
        if found != self._id:
            raise made_anew(self._brokers, self._topic)


def made_anew(brokers: str, topic: str) -> BrokerError:
    """The error of a topic that is another than before, or has lost records: all that was read of it is void."""
    return BrokerError(f"Kafka at {brokers}: {topic} was made anew or cut off, and has to be read from its start")
