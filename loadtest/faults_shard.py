"""Whether a shard that was lost serves again, and until when it is certain that it did not."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.core.replicas import replicas_of

if TYPE_CHECKING:
    from pipeline.actors.watchlist_shard import ShardStatus

STATE_SECONDS: Final = 0.5
"""In which a replica that serves tells its state; nothing else is looked at meanwhile."""


@dataclass
class _Question:
    asked_ns: int
    open: list[Any]
    """Calls of replicas that may have served then, as far as is known."""


class LostShard:
    """Asks all replicas of a shard again and again, and forgets no question before it is answered.

    Ray keeps what a replica is asked while its process is started, and it answers all of it as soon as it runs. A
    replica that is starting when it answers had not served before, so no question is asked in vain.
    """

    def __init__(self, run: str, shard: int, replicas: int) -> None:
        self._run = run
        self._replicas = replicas_of(shard, replicas)
        self._questions: list[_Question] = []
        self.away_ns = 0
        """The latest moment at which certainly none of them served; 0 if there was none."""

    def serving(self) -> bool:
        """Ask once more, wait a little, and return whether a replica serves."""
        import ray  # noqa: PLC0415  # reads its environment when imported

        question = _Question(time.time_ns(), [])
        for replica in self._replicas:
            with suppress(ValueError):  # there is none
                question.open.append(ray.get_actor(replica.name, namespace=self._run).status.remote())
        self._questions.append(question)
        if question.open:
            ray.wait(question.open, num_returns=len(question.open), timeout=STATE_SECONDS)
        return any(self._answered(each) for each in self._questions) or self._conclude()

    def _answered(self, question: _Question) -> bool:
        """Take the answers that are there; whether one of them is of a replica that serves."""
        import ray  # noqa: PLC0415  # as above
        from ray.exceptions import RayActorError  # noqa: PLC0415  # as above

        if not question.open:
            return False
        answers, _ = ray.wait(question.open, num_returns=len(question.open), timeout=0)
        for answer in answers:
            try:
                status: ShardStatus = ray.get(answer)
                if status.state == "running":
                    return True
            except RayActorError:
                pass  # it is dead
            question.open.remove(answer)
        return False

    def _conclude(self) -> bool:
        """Note the latest question that every replica has answered with no; what was asked before matters no more."""
        closed = [number for number, each in enumerate(self._questions) if not each.open]
        if closed:
            self.away_ns = self._questions[closed[-1]].asked_ns
            del self._questions[: closed[-1] + 1]
        return False
