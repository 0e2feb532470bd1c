"""The workers of a run: a number of slots that is fixed, or changes as the rule of an elastic pool wants."""

from collections.abc import Callable
from typing import Any, Final

import ray
from ray.exceptions import RayError

from pipeline.actors.child import Child
from pipeline.actors.vision_worker import WorkerStatus
from pipeline.errors import ClusterError

LAST_WORDS_SECONDS: Final = 5.0
"""What a worker may take beyond its drain to say what it did."""
FETCH_SECONDS: Final = 1.0
"""What a worker that has drained may take to hand over its last words, which lie ready; others wait meanwhile."""

Worker = Child[WorkerStatus]


def consumes(worker: Worker) -> bool:
    """Whether a worker is up, by its latest status."""
    return worker.status is not None and worker.status.state == "running"


class Retirement:
    """A worker on its way out: it finishes what it holds, leaves its group, and its process is ended."""

    def __init__(self, worker: Worker, now: float, drain_seconds: float) -> None:
        self.worker = worker
        if not worker.has_answered:
            # Ray may have no room for it, and then would answer nothing for all the drain; it holds no frames yet
            worker.kill()
        self._word: Any = worker.ask("stop", drain_seconds)
        self._until = now + drain_seconds + LAST_WORDS_SECONDS

    def over(self, now: float) -> str | None:
        """End the process once it has said its last words or its time is up; None until then, and then what went wrong.

        Never waits for a drain. The words are the worker's status from then on.
        """
        if self._word is None:
            return ""  # there was no process at the moment, or none that was up
        self.worker.ask("renew")  # a drain may last longer than a lease
        said, _ = ray.wait([self._word], timeout=0)
        if not said and now < self._until:
            return None
        trouble = self._listen() if said else "it did not end in time"
        self.worker.kill()
        return trouble

    def _listen(self) -> str:
        try:
            self.worker.hear(self._word, FETCH_SECONDS)
        except (RayError, ClusterError) as error:
            return " ".join(str(error).split())
        status = self.worker.status
        return status.failure if status is not None and status.state == "failed" else ""


class Pool:
    """Worker slots from 0 on, and those that leave; whoever calls it holds the supervisor's lock."""

    def __init__(self, make: Callable[[int], Worker], workers: int) -> None:
        """`make` gives the worker of a slot, whose process is started or adopted when it is first tended."""
        self._make = make
        self._leaving: list[Retirement] = []
        self._size = workers
        self.slots: list[Worker] = [make(slot) for slot in range(workers)]
        """Of all slots that were ever used: how often their processes died is not forgotten."""

    @property
    def workers(self) -> list[Worker]:
        """Workers that are wanted."""
        return self.slots[: self._size]

    @property
    def leaving(self) -> list[Worker]:
        """Workers that drain."""
        return [each.worker for each in self._leaving]

    @property
    def running(self) -> int:
        """Workers that consume."""
        return sum(map(consumes, self.workers))

    def resize(self, workers: int, now: float, drain_seconds: float) -> None:
        """Use the next slots, or let the highest ones drain; not while others drain, whose slots are not free yet."""
        self._leaving += [Retirement(each, now, drain_seconds) for each in self.workers[workers:]]
        for worker in self.slots[self._size : workers]:
            worker.vacate()
        self.slots += [self._make(slot) for slot in range(len(self.slots), workers)]
        self._size = workers

    def tend(self, now: float) -> list[tuple[Worker, str]]:
        """The workers that have left meanwhile, each with what went wrong; a slot may be used again from then on."""
        for worker in self.workers:
            if worker.status is not None and worker.status.state == "stopped":
                # adopted from a supervisor that died while this worker drained: a new process takes the slot
                worker.kill()
                worker.status = None
        ended = [(each, trouble) for each in self._leaving if (trouble := each.over(now)) is not None]
        gone = [each for each, _ in ended]
        self._leaving = [each for each in self._leaving if each not in gone]
        return [(each.worker, trouble) for each, trouble in ended]
