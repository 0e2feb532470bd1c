"""Whether a shard that was lost serves again, and until when it is certain that it did not."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from pipeline.core.replicas import replicas_of

if TYPE_CHECKING:
    from pipeline.actors.watchlist_shard import ShardStatus

STATE_SECONDS: Final = 0.5
"""In which a replica that serves tells its state; nothing else is looked at meanwhile."""

Answer = Literal["serves", "did not serve", "unknown"]


@dataclass
class _Question:
    asked_ns: int
    open: list[Any]
    """Calls that were not answered yet."""
    answered: bool = True
    """Whether all answers so far tell that nobody served when it was asked."""


class LostShard:
    """Asks all replicas of a shard again and again, and forgets no question before it is answered.

    Ray keeps what a replica is asked while its process is started, and it answers all of it as soon as it runs: one
    that says then that it is starting had not served before. One that is dead is taken for killed by the fault, before
    the first question; that another dies in the same round is not reckoned with.
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
        return self.hear()

    def hear(self) -> bool:
        """Take in what was answered by now, and return whether it tells of a replica that serves."""
        import ray  # noqa: PLC0415  # as above

        said: list[Answer] = []
        for question in self._questions:
            if question.open:
                answers, question.open = ray.wait(question.open, num_returns=len(question.open), timeout=0)
                those = [_answer(each) for each in answers]
                question.answered = question.answered and all(each == "did not serve" for each in those)
                said += those
            if question.answered and not question.open:
                self.away_ns = max(self.away_ns, question.asked_ns)
        self._questions = [each for each in self._questions if each.answered and each.open]
        return "serves" in said


def _answer(call: Any) -> Answer:
    """What an answered call tells of the moment when it was made."""
    import ray  # noqa: PLC0415  # as above
    from ray.exceptions import ActorDiedError, RayError  # noqa: PLC0415  # as above

    try:
        status: ShardStatus = ray.get(call)
    except ActorDiedError:
        return "did not serve"
    except RayError:
        return "unknown"
    if status.state == "running":
        return "serves"
    return "did not serve" if status.state == "starting" else "unknown"
