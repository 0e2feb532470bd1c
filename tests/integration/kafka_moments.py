"""Moments in the life of a worker on a real Kafka, and what stops it at one of them."""

import logging
import threading
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

CLASSIC_PACE = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
"""How soon members of the classic protocol hear of one another: as with the other, where the local broker says it."""
PATIENCE_SECONDS = 60.0


class Moment(Enum):
    """Where a worker can be stopped."""

    SEARCHED = auto()
    """The faces of a batch have been searched, and whether it is still this worker's is not looked at yet."""
    DECIDED = auto()
    """A batch is decided on, and nothing of it is in Kafka yet."""
    UNCOMMITTED = auto()
    """Everything that a batch leaves behind is in Kafka, its offsets too, in a transaction that is open."""
    TAKING_OVER = auto()
    """Partitions are this worker's now, and it asks where to begin."""
    PAUSED = auto()
    """It fetches nothing more until it has settled what it holds."""


At = Callable[[Moment], None]
"""Called by a worker's threads at each of its moments."""


class Gate:
    """Stops a worker at one kind of moment while it is closed, as it is at first."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self.reached = threading.Event()
        self._opened = threading.Event()

    def __call__(self, moment: Moment) -> None:
        """Let every other moment pass; raises TimeoutError in the worker if it is never opened."""
        if moment is self._moment and not self._opened.is_set():
            self.reached.set()
            if not self._opened.wait(PATIENCE_SECONDS):
                raise TimeoutError(f"stopped at {moment} and forgotten")

    def open(self) -> None:
        """Let the worker go on."""
        self._opened.set()

    def close(self) -> None:
        """Stop the worker at its next moment."""
        self._opened.clear()


class WatchedProducer(Producer):
    """librdkafka's producer, which tells of the moments of its transactions."""

    def __init__(self, properties: Mapping[str, Any], *, at: At, logger: logging.Logger) -> None:
        super().__init__(dict(properties), logger=logger)
        self._at = at

    def begin_transaction(self) -> None:
        """See the base."""
        self._at(Moment.DECIDED)
        super().begin_transaction()

    def commit_transaction(self, *args: Any) -> None:
        """See the base, which begins by waiting for the records as this does."""
        assert self.flush(*args) == 0
        self._at(Moment.UNCOMMITTED)
        super().commit_transaction(*args)


class WatchedConsumer(Consumer):
    """librdkafka's consumer, which tells when it takes partitions over and when it is paused."""

    def __init__(self, properties: Mapping[str, Any], *, at: At, logger: logging.Logger) -> None:
        classic = properties.get("group.protocol") == "classic"
        super().__init__({**properties, **(CLASSIC_PACE if classic else {})}, logger=logger)
        self._at = at

    def committed(self, *args: Any, **kwargs: Any) -> list[TopicPartition]:
        """See the base."""
        self._at(Moment.TAKING_OVER)
        return super().committed(*args, **kwargs)

    def pause(self, *args: Any, **kwargs: Any) -> None:
        """See the base."""
        super().pause(*args, **kwargs)
        self._at(Moment.PAUSED)
