"""One answer per shard from several replicas: another is asked where the first fails at once or is late."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from pipeline.actors.avoidance import Avoidance
from pipeline.actors.shard_reply import unpack
from pipeline.catalog.metrics import SEARCHES_FAILED_OVER, SEARCHES_HEDGED, Metric
from pipeline.core.replicas import Replica, hedge_delays, preference
from pipeline.errors import ClusterError, ShardUnavailable
from pipeline.ports import Telemetry
from pipeline.records import Probes, ShardReply


@dataclass(frozen=True)
class Question:
    """What every shard is asked."""

    probes: Probes
    k: int
    version: int
    """The watchlist version that a shard catches up to first, if it can do so at once."""
    turn: int
    """Number of the worker's search, which decides whose turn it is to be asked first."""
    deadline: float
    """When the answers have to be there; seconds of the monotonic clock."""
    errors: dict[int, str] = field(default_factory=dict)
    """By shard why the latest replica that could not compute its answer failed to."""

    @property
    def left(self) -> float:
        """Seconds until the deadline; 0 after it."""
        return max(0.0, self.deadline - time.monotonic())


@dataclass
class _Round:
    """One question on its way."""

    question: Question
    unasked: dict[int, list[Replica]]
    """By shard who can still be asked, best first."""
    calls: dict[Replica, Any] = field(default_factory=dict)
    """Who was asked and has not been heard."""
    late_at: dict[Replica, float] = field(default_factory=dict)
    """From when on each of those that were asked is late; seconds of the monotonic clock."""
    answers: dict[int, bytes] = field(default_factory=dict)

    def pending(self, shard: int) -> list[Replica]:
        """The replicas of a shard that may still answer, in the order in which they were asked."""
        return [replica for replica in self.calls if replica.shard == shard]


class Replicas:
    """Asks the named actors of a run's namespace; one thread uses it.

    Where nobody fails and nobody is late, a question costs one call per shard and one wait for all of them, whatever
    the number of replicas.
    """

    def __init__(self, *, namespace: str, replicas: int, deadline_seconds: float, telemetry: Telemetry) -> None:
        self._namespace = namespace
        self._replicas = replicas
        self._hedge_delays = hedge_delays(deadline_seconds, replicas)
        self._late_after = self._hedge_delays[0] if self._hedge_delays else deadline_seconds
        self._telemetry = telemetry
        self._actors: dict[Replica, Any] = {}
        self._avoided = Avoidance(self._actor, self._forget)

    def ask(self, shards: Iterable[int], question: Question) -> dict[int, ShardReply]:
        """The answers of those of `shards` of which a replica answers by the deadline.

        A reply may be for the first of the probes alone. Raises ClusterError if no replica of a shard could compute
        its answer.
        """
        self._avoided.look()
        asked = _Round(
            question,
            {shard: list(preference(shard, self._replicas, question.turn, self._avoided)) for shard in shards},
        )
        for shard in asked.unasked:
            self._ask_next(asked, shard)
        now = time.monotonic()
        try:
            came = ray.get(list(asked.calls.values()), timeout=min(self._late_after, question.left))
        except RayError:
            # somebody failed or is late, and the others' answers count
            self._chase(asked, [now + delay for delay in self._hedge_delays])
        else:
            for replica, packed in zip(list(asked.calls), came, strict=True):
                self._answered(asked, replica, packed)
        return {shard: unpack(packed) for shard, packed in asked.answers.items()}

    def _chase(self, asked: _Round, hedges: list[float]) -> None:
        """Take answers as they come, and ask others besides whoever fails or is late, until the deadline."""
        deadline = asked.question.deadline
        while asked.calls:
            hedge_at = hedges[0] if hedges else deadline
            ready, _ = ray.wait(
                list(asked.calls.values()), timeout=max(0.0, min(hedge_at, deadline) - time.monotonic())
            )
            if ready:
                self._take(asked, next(replica for replica, call in asked.calls.items() if call == ready[0]))
            elif time.monotonic() >= deadline:
                self._note_late(asked)
                return
            elif time.monotonic() >= hedge_at:
                self._note_late(asked)
                self._hedge(asked)
                hedges.pop(0)

    def _hedge(self, asked: _Round) -> None:
        for shard in {replica.shard for replica in asked.calls}:
            self._ask_next(asked, shard, SEARCHES_HEDGED)

    def _note_late(self, asked: _Round) -> None:
        now = time.monotonic()
        for replica, call in asked.calls.items():
            if now >= asked.late_at[replica]:  # who was asked a moment ago has not had the time to be
                self._avoided.add(replica, call)

    def _take(self, asked: _Round, replica: Replica) -> None:
        shard = replica.shard
        try:
            packed: bytes = ray.get(asked.calls.pop(replica))
        except RayError as error:
            self._avoided.add(replica)
            computing = error if isinstance(error, RayTaskError) else None
            if computing is None:
                self._forget(replica)  # it died; its successor has the same name and another handle
            elif not isinstance(computing.cause, ShardUnavailable):
                asked.question.errors[shard] = f"{replica.name} failed to search: {computing.cause!r}"
            another = self._ask_next(asked, shard, SEARCHES_FAILED_OVER) or asked.pending(shard)
            if computing is not None and not isinstance(computing.cause, ShardUnavailable) and not another:
                raise ClusterError(asked.question.errors[shard]) from error
        else:
            self._answered(asked, replica, packed)

    def _answered(self, asked: _Round, replica: Replica, packed: bytes) -> None:
        """Take the first answer of a shard; whoever else was asked for it is waited for no more."""
        asked.answers[replica.shard] = packed
        self._avoided.trust(replica)
        for other in asked.pending(replica.shard):
            del asked.calls[other]

    def _ask_next(self, asked: _Round, shard: int, why: Metric | None = None) -> bool:
        """Ask the next replica of a shard that is there, and count `why`; returns whether there was one."""
        question, unasked = asked.question, asked.unasked[shard]
        while unasked:
            replica = unasked.pop(0)
            actor = self._actor(replica)
            if actor is not None:
                asked.late_at[replica] = time.monotonic() + self._late_after
                asked.calls[replica] = actor.search.remote(
                    question.probes.templates, question.probes.capture_ns, question.k, question.version
                )
                if why is not None:
                    self._telemetry.count(why, shard=str(shard))
                return True
            self._avoided.add(replica)
            why = why or SEARCHES_FAILED_OVER
        return False

    def _actor(self, replica: Replica) -> Any:
        actor = self._actors.get(replica)
        if actor is None:
            try:
                actor = self._actors[replica] = ray.get_actor(replica.name, namespace=self._namespace)
            except ValueError:
                return None
        return actor

    def _forget(self, replica: Replica) -> None:
        self._actors.pop(replica, None)
