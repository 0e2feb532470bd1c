"""All shards of a run as one gallery, from inside a worker: one Ray call per shard, answers merged."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec
import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from pipeline.actors.shard_reply import CALL_BYTES, unpack
from pipeline.core.batching import chunks
from pipeline.core.merge import greatest_version, lagging, merge
from pipeline.errors import ClusterError, ShardUnavailable
from pipeline.records import Probes, SearchResult, ShardReply

RETRY_SECONDS: Final = 0.05
"""Pause before shards that did not answer are looked for again."""


class RayGallery:
    """Implements `pipeline.ports.Gallery` over the named actors ``shard-0`` … of a namespace; one thread uses it.

    With `on_shard_loss` wait, a shard that is away is looked for until the deadline, and then ShardUnavailable names
    it. With degrade, the result is that of the shards that answered, and says which fraction they are; ShardUnavailable
    is raised only if none answers. No call carries more than 100 KB, so nothing enters Ray's object store.

    A batch without a probe asks nobody: its result has the versions and the fraction of the latest search, since a loss
    that has been met is not over because nobody looked. Before the first search they are version 0 and all of it.
    """

    def __init__(
        self, *, namespace: str, shards: int, deadline_seconds: float, on_shard_loss: Literal["wait", "degrade"]
    ) -> None:
        self._namespace = namespace
        self._shards = shards
        self._deadline_seconds = deadline_seconds
        self._degrade = on_shard_loss == "degrade"
        self._actors: dict[int, Any] = {}
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
        deadline = time.monotonic() + self._deadline_seconds
        replies = self._gather(probes, k, deadline)
        if late := lagging(list(replies.values())):
            replies |= self._ask(late, probes, k, greatest_version(list(replies.values())), deadline)
        return merge(list(replies.values()), len(probes.templates), k, self._shards)

    def _gather(self, probes: Probes, k: int, deadline: float) -> dict[int, ShardReply]:
        """An answer of every shard, or of those that are there, as the policy says."""
        replies = self._ask(range(self._shards), probes, k, 0, deadline)
        if len(replies) < self._shards:
            # whoever died may have been replaced meanwhile
            replies |= self._ask(self._missing(replies), probes, k, 0, deadline)
        while len(replies) < self._shards and not (self._degrade and replies):
            if time.monotonic() + RETRY_SECONDS > deadline:
                names = ", ".join(f"shard-{shard}" for shard in self._missing(replies))
                raise ShardUnavailable(
                    f"{names} of run {self._namespace} did not answer within {self._deadline_seconds:g} s"
                )
            time.sleep(RETRY_SECONDS)
            replies |= self._ask(self._missing(replies), probes, k, 0, deadline)
        return replies

    def _missing(self, replies: Mapping[int, ShardReply]) -> list[int]:
        return [shard for shard in range(self._shards) if shard not in replies]

    def _ask(
        self, shards: Iterable[int], probes: Probes, k: int, version: int, deadline: float
    ) -> dict[int, ShardReply]:
        """The answers of those of `shards` that answer by the deadline."""
        calls = {
            shard: actor.search.remote(probes.templates, probes.capture_ns, k, version)
            for shard in shards
            if (actor := self._actor(shard)) is not None
        }
        replies = {shard: unpack(packed) for shard, packed in self._packed(calls, deadline).items()}
        for shard, reply in replies.items():
            done = len(reply.candidates)
            if done < len(probes.templates):
                rest = Probes(probes.templates[done:], probes.capture_ns[done:])
                others = self._ask([shard], rest, k, version, deadline)
                if shard not in others:
                    return {known: replies[known] for known in replies if known != shard}
                replies[shard] = _append(reply, others[shard])
        return replies

    def _packed(self, calls: Mapping[int, Any], deadline: float) -> dict[int, bytes]:
        try:
            return dict(zip(calls, ray.get(list(calls.values()), timeout=_left(deadline)), strict=True))
        except RayError:
            # somebody failed or is late, and the others' answers count
            answers = {shard: self._answer(shard, call, deadline) for shard, call in calls.items()}
            return {shard: answer for shard, answer in answers.items() if answer is not None}

    def _answer(self, shard: int, call: Any, deadline: float) -> bytes | None:
        try:
            packed: bytes = ray.get(call, timeout=_left(deadline))
        except GetTimeoutError:
            return None
        except RayTaskError as error:
            if isinstance(error.cause, ShardUnavailable):
                return None
            raise ClusterError(f"shard-{shard} failed to search: {error.cause!r}") from error
        except RayError:
            self._actors.pop(shard, None)  # it died; its successor has the same name and another handle
            return None
        return packed

    def _actor(self, shard: int) -> Any:
        actor = self._actors.get(shard)
        if actor is None:
            try:
                actor = self._actors[shard] = ray.get_actor(f"shard-{shard}", namespace=self._namespace)
            except ValueError:
                return None
        return actor


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


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
