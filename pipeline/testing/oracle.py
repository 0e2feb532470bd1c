"""The plainest possible index: every score computed, everything sorted. What it says is right."""

from collections.abc import Iterable

import numpy as np

from pipeline.records import Candidate, Probes, ShardReply, WatchlistEntry


class BruteForceIndex:
    """Implements `pipeline.ports.Shard` over a dict of entries; `version` is what its replies say."""

    def __init__(self, entries: Iterable[WatchlistEntry] = (), *, shard: int = 0, version: int = 0) -> None:
        self.entries = {entry.entry: entry for entry in entries}
        self.shard = shard
        self.version = version

    def put(self, entry: WatchlistEntry) -> None:
        """Add an entry, or replace the one of the same id."""
        self.entries[entry.entry] = entry

    def remove(self, entry: str) -> None:
        """Take an entry off, if it is there."""
        self.entries.pop(entry, None)

    def search(self, probes: Probes, k: int, at_least_version: int = 0) -> ShardReply:  # noqa: ARG002  # of the port
        """The `k` best candidates of each probe, by falling score, equal scores by entry id."""
        return ShardReply(
            shard=self.shard,
            version=self.version,
            entries=len(self.entries),
            candidates=tuple(
                tuple(self.ranking(template.astype(np.float64), int(captured))[:k])
                for template, captured in zip(probes.templates, probes.capture_ns, strict=True)
            ),
        )

    def ranking(self, template: np.ndarray[tuple[int, ...], np.dtype[np.float64]], capture_ns: int) -> list[Candidate]:
        """All entries that a probe captured at `capture_ns` may match, best first; scores are float64 inner products.

        Each is rounded to float32, as an exact tie is told from a near one at that precision.
        """
        scored = (
            Candidate(entry.entry, float(np.float32((entry.template * template).sum())), self.version, entry.reference)
            for entry in self.entries.values()
            if entry.expires_ns is None or capture_ns < entry.expires_ns
        )
        return sorted(scored, key=lambda candidate: (-candidate.score, candidate.entry))
