"""The candidates of each probe from the hits of all blocks: by falling score, equal scores by entry id."""

from collections.abc import Sequence
from itertools import pairwise, repeat

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.block import Block, Hits
from pipeline.records import Candidate


def candidates(blocks: Sequence[Block], hits: Sequence[Hits], k: int, version: int) -> list[list[Candidate]]:
    """The `k` best for each probe; `hits` holds those of each of `blocks` (one at least), in their order.

    Entry ids are compared only where scores are equal, since most probes have none among their best.
    """
    scores = np.concatenate([each.scores for each in hits], axis=1)
    rows = np.concatenate([each.rows for each in hits], axis=1)
    owners = np.repeat(np.arange(len(blocks)), [each.rows.shape[1] for each in hits])
    order = np.argsort(-scores, axis=1, kind="stable")[:, : k + 1]
    best = np.take_along_axis(scores, order, axis=1)
    there = best[:, :k] > -np.inf
    probes, places = np.nonzero(there)
    columns = order[probes, places]
    known = _candidates(blocks, owners[columns], rows[probes, columns], best[probes, places], version)
    ends = np.cumsum(there.sum(axis=1)).tolist()
    found = [known[begin:end] for begin, end in pairwise([0, *ends])]
    equal = ((best[:, 1:] == best[:, :-1]) & (best[:, 1:] > -np.inf)).any(axis=1)
    for probe in np.flatnonzero(equal).tolist():
        level = np.flatnonzero(scores[probe] >= found[probe][-1].score)
        tied = _candidates(blocks, owners[level], rows[probe, level], scores[probe, level], version)
        found[probe] = sorted(tied, key=lambda candidate: (-candidate.score, candidate.entry))[:k]
    return found


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
