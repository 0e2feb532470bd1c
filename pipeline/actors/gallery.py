"""All shards of a run as one gallery, from inside a worker: one answer per shard, merged."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, Literal

import msgspec

from pipeline.actors.replicas import Question, Replicas
from pipeline.actors.shard_reply import CALL_BYTES
from pipeline.core.batching import chunks
from pipeline.core.merge import greatest_version, lagging, merge, newest
from pipeline.errors import ShardUnavailable
from pipeline.ports import Telemetry
from pipeline.records import Probes, SearchResult, ShardReply

RETRY_SECONDS: Final = 0.05
"""Pause before shards of which no replica answered are looked for again."""
ANEW_SECONDS: Final = 10.0
"""So long all shards are below the greatest version that was seen before it is taken for that of an earlier topic."""


class RayGallery:
    """Implements `pipeline.ports.Gallery` over the named actors of a namespace; one thread uses it.

    Each shard is answered for by one of its `replicas`, whichever answers by the deadline. With `on_shard_loss` wait, a
    shard of which none does is looked for until then, and ShardUnavailable names it. With degrade, the result is that
    of the shards that answered, and says which fraction they are; ShardUnavailable is raised only if none answers. No
    call carries more than 100 KB, so nothing enters Ray's object store.

    A batch without a probe asks nobody: its result has the versions and the fraction of the latest search, since a loss
    that has been met is not over because nobody looked. Before the first search they are version 0 and all of it.
    """

    def __init__(
        self,
        *,
        namespace: str,
        shards: int,
        replicas: int,
        deadline_seconds: float,
        on_shard_loss: Literal["wait", "degrade"],
        telemetry: Telemetry,
    ) -> None:
        self._namespace = namespace
        self._shards = shards
        self._replicas = Replicas(
            namespace=namespace, replicas=replicas, deadline_seconds=deadline_seconds, telemetry=telemetry
        )
        self._deadline_seconds = deadline_seconds
        self._degrade = on_shard_loss == "degrade"
        self._turn = 0
        self._greatest = 0
        self._below_since: float | None = None
        """Since when no shard has answered with the greatest version."""
        self._latest = SearchResult((), version_lowest=0, version_greatest=0, fraction_searched=1.0)

    def search(self, probes: Probes, k: int) -> SearchResult:
        """The `k` best candidates of each probe over all shards that answered.

        Raises ShardUnavailable as the policy says, ClusterError if a shard could not compute its answer.
        """
        size = max(1, CALL_BYTES // (4 * probes.templates.shape[1] + 8))
        parts = [
            self._search(Probes(probes.templates[part], probes.capture_ns[part]), k)
            for part in chunks(len(probes.templates), size)
        ]
        if not parts:
            return self._latest
        found = _join(parts)
        self._latest = msgspec.structs.replace(found, candidates=())
        return found

    def _search(self, probes: Probes, k: int) -> SearchResult:
        self._turn += 1
        question = Question(probes, k, 0, self._turn, time.monotonic() + self._deadline_seconds)
        replies = self._gather(question)
        # of all searches so far: the replica that answers next may be older than the one that answered before
        self._greatest = max(self._greatest, greatest_version(replies.values()))
        if late := lagging(list(replies.values()), self._greatest):
            # the turn after this one begins with another replica, which need not catch up itself
            again = replace(question, version=self._greatest, turn=self._turn + 1)
            replies = newest(replies, self._ask(late, again))
        self._note_greatest(replies)
        return merge(list(replies.values()), len(probes.templates), k, self._shards)

    def _note_greatest(self, replies: Mapping[int, ShardReply]) -> None:
        """Keep the greatest version seen, or begin anew from these replies of all shards if none has it any more.

        A topic that was deleted and made anew has lower versions for good, which one search's replicas that all lag
        have not.
        """
        seen, now = greatest_version(replies.values()), time.monotonic()
        if seen >= self._greatest:
            self._greatest, self._below_since = seen, None
        elif len(replies) == self._shards:
            self._below_since = now if self._below_since is None else self._below_since
            if now - self._below_since >= ANEW_SECONDS:
                self._greatest, self._below_since = seen, None

    def _gather(self, question: Question) -> dict[int, ShardReply]:
        """An answer of every shard, or of those that are there, as the policy says."""
        replies = self._ask(range(self._shards), question)
        if len(replies) < self._shards:
            # whoever died may have been replaced meanwhile
            replies |= self._ask(self._missing(replies), question)
        while len(replies) < self._shards and not (self._degrade and replies):
            if question.left <= RETRY_SECONDS:
                missing = self._missing(replies)
                names = ", ".join(f"shard-{shard}" for shard in missing)
                errors = "; ".join(question.errors[shard] for shard in missing if shard in question.errors)
                raise ShardUnavailable(
                    f"{names} of run {self._namespace} did not answer within {self._deadline_seconds:g} s"
                    + (f" ({errors})" if errors else "")
                )
            time.sleep(RETRY_SECONDS)
            replies |= self._ask(self._missing(replies), question)
        return replies

    def _missing(self, replies: Mapping[int, ShardReply]) -> list[int]:
        return [shard for shard in range(self._shards) if shard not in replies]

    def _ask(self, shards: Iterable[int], question: Question) -> dict[int, ShardReply]:
        """The answers of those of `shards` that answer by the deadline."""
        replies = self._replicas.ask(shards, question)
        probes = question.probes
        for shard, reply in list(replies.items()):
            done = len(reply.candidates)
            if done < len(probes.templates):
                rest = Probes(probes.templates[done:], probes.capture_ns[done:])
                others = self._ask([shard], replace(question, probes=rest))
                if shard in others:
                    replies[shard] = _append(reply, others[shard])
                else:
                    del replies[shard]
        return replies


def _append(first: ShardReply, rest: ShardReply) -> ShardReply:
    """One reply of a shard that answered in two; as old as the older."""
    return ShardReply(first.shard, min(first.version, rest.version), first.entries, first.candidates + rest.candidates)


def _join(parts: list[SearchResult]) -> SearchResult:
    """One result of a search that took several calls."""
    return SearchResult(
        candidates=tuple(candidates for part in parts for candidates in part.candidates),
        version_lowest=min(part.version_lowest for part in parts),
        version_greatest=max(part.version_greatest for part in parts),
        fraction_searched=min(part.fraction_searched for part in parts),
    )
