"""A shard in memory that compares with every entry."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pipeline.core.merge import rank
from pipeline.records import Candidate, Probes, ShardReply, WatchlistEntry


class FakeShard:
    """Implements `pipeline.ports.Shard` over all entries; its version counts the changes."""

    def __init__(self, entries: Iterable[WatchlistEntry] = ()) -> None:
        self._entries: dict[str, WatchlistEntry] = {}
        self._version = 0
        for entry in entries:
            self.add(entry)

    def add(self, entry: WatchlistEntry) -> None:
        """Add or replace an entry."""
        self._entries[entry.entry] = entry
        self._version += 1

    def remove(self, entry: str) -> None:
        """Forget an entry, if it is there."""
        self._entries.pop(entry, None)
        self._version += 1

    def search(
        self,
        probes: Probes,
        k: int,
        at_least_version: int = 0,  # noqa: ARG002  # it has no older snapshot to catch up from
    ) -> ShardReply:
        """See the port."""
        found = tuple(
            tuple(sorted(self._candidates(template, int(captured)), key=rank)[:k])
            for template, captured in zip(probes.templates, probes.capture_ns, strict=True)
        )
        return ShardReply(0, self._version, len(self._entries), found)

    def _candidates(self, template: NDArray[np.float32], captured: int) -> list[Candidate]:
        return [
            Candidate(entry.entry, float(entry.template @ template), self._version)
            for entry in self._entries.values()
            if entry.expires_ns is None or captured < entry.expires_ns
        ]
