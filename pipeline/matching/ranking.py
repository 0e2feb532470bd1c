"""The candidates of each probe from the rows found in all blocks: by falling score, equal scores by entry id."""

from collections.abc import Sequence
from itertools import pairwise, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.block import Block, Hits
from pipeline.records import Candidate


class Found(NamedTuple):
    """Rows of several blocks for each probe, in no order."""

    scores: NDArray[np.float32]
    """float32[N,m]; -inf where there is no row, or none that the probe may see."""
    owners: NDArray[np.int64]
    """int64[N,m]: the number of the row's block in a list; meaningless where the score is -inf, as is the row."""
    rows: NDArray[np.int64]
    """int64[N,m]"""

    @classmethod
    def of(cls, hits: Hits, owner: int) -> "Found":
        """What one block gave."""
        return cls(hits.scores, np.broadcast_to(np.int64(owner), hits.rows.shape), hits.rows)

    def widened(self, width: int) -> "Found":
        """With `width` columns; those that come to it hold no row."""
        lacking = ((0, 0), (0, width - self.rows.shape[1]))
        scores = np.pad(self.scores, lacking, constant_values=-np.inf)
        return Found(scores, np.pad(self.owners, lacking), np.pad(self.rows, lacking))

    def replace(self, places: NDArray[np.int64], others: "Found") -> None:
        """Put what was found for the probes at `places` int64[n] into their places; of the same width."""
        self.scores[places] = others.scores
        self.owners[places] = others.owners
        self.rows[places] = others.rows

    @classmethod
    def together(cls, each: Sequence["Found"]) -> "Found":
        """What several gave for the same probes; one at least."""
        return each[0] if len(each) == 1 else cls(*(np.concatenate(one, axis=1) for one in zip(*each, strict=True)))


def candidates(blocks: Sequence[Block], found: Found, k: int, version: int) -> list[list[Candidate]]:
    """The `k` best for each probe; `blocks` are those that the rows' owners number.

    Entry ids are compared only where scores are equal, since most probes have none among their best.
    """
    scores, owners, rows = found
    order = np.argsort(-scores, axis=1, kind="stable")[:, : k + 1]
    best = np.take_along_axis(scores, order, axis=1)
    there = best[:, :k] > -np.inf
    probes, places = np.nonzero(there)
    columns = order[probes, places]
    known = _candidates(blocks, owners[probes, columns], rows[probes, columns], best[probes, places], version)
    ends = np.cumsum(there.sum(axis=1)).tolist()
    ranked = [known[begin:end] for begin, end in pairwise([0, *ends])]
    equal = ((best[:, 1:] == best[:, :-1]) & (best[:, 1:] > -np.inf)).any(axis=1)
    for probe in np.flatnonzero(equal).tolist():
        level = np.flatnonzero(scores[probe] >= ranked[probe][-1].score)
        tied = _candidates(blocks, owners[probe, level], rows[probe, level], scores[probe, level], version)
        ranked[probe] = sorted(tied, key=lambda candidate: (-candidate.score, candidate.entry))[:k]
    return ranked


def _candidates(
    blocks: Sequence[Block],
    owners: NDArray[np.int64],
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    version: int,
) -> list[Candidate]:
    """The rows int64[n] of the blocks that `owners` int64[n] numbers, as candidates."""
    entries, references = np.empty(len(rows), object), np.empty(len(rows), object)
    for number, block in enumerate(blocks):
        own = owners == number
        entries[own] = block.entries[rows[own]]
        references[own] = block.references[rows[own]]
    return list(map(Candidate, entries.tolist(), scores.tolist(), repeat(version), references.tolist()))
