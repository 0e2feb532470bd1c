"""A selector together with the rows that it was built over: its proposals, as scored rows that a probe may see."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.block import MARGIN, Block
from pipeline.matching.ranking import Found
from pipeline.matching.scores import inner_products, kth_best
from pipeline.matching.selection import Part, Selector
from pipeline.records import Probes

WIDENING: Final = 4
"""Times as many rows are proposed for a probe, if hidden or equal ones stood in the way, before all are looked at."""


class Cover:
    """Covers the rows below a bound in each of some blocks; of these the selector knows those that were alive."""

    def __init__(self, selector: Selector, parts: Sequence[Part], bounds: Sequence[int]) -> None:
        self._selector = selector
        self.blocks = [part.block for part in parts]
        """What the owners of rows found are numbers of."""
        self._bounds = dict(zip(self.blocks, bounds, strict=True))
        self._owners = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part.rows) for part in parts])
        self._rows = np.concatenate([part.rows for part in parts]).astype(np.int32)

    def __len__(self) -> int:
        return len(self._rows)

    def bound(self, block: Block) -> int:
        """Rows of `block` from here on are not covered."""
        return self._bounds.get(block, 0)

    def wipe(self) -> None:
        """Overwrite the selector's copies of templates; no search may use it any more."""
        self._selector.wipe()

    def search(self, probes: Probes, k: int, moment: int, threads: int) -> tuple[Found, NDArray[np.int64]]:
        """Covered rows for each probe, and the places int64[n] of the probes for which only all rows can tell.

        For these, so many rows that were proposed are removed or expired that others may be hidden behind them, or the
        k-th best scores no more than the last: which of equal rows come first, their entry ids say.
        """
        found, short = self._propose(probes, k, moment, threads, widening=1)
        if not short.size:
            return found, short
        some = Probes(probes.templates[short], probes.capture_ns[short])
        wider, still = self._propose(some, k, moment, threads, widening=WIDENING)
        width = max(found.rows.shape[1], wider.rows.shape[1])
        found = found.widened(width)
        found.replace(short, wider.widened(width))
        return found, short[still]

    def _propose(
        self, probes: Probes, k: int, moment: int, threads: int, widening: int
    ) -> tuple[Found, NDArray[np.int64]]:
        wanted = k + MARGIN
        count = widening * (wanted + MARGIN)
        finite = np.asarray(np.isfinite(probes.templates).all(axis=1))
        clean = probes.templates if finite.all() else np.where(finite[:, None], probes.templates, np.float32(0.0))
        numbers = self._selector.propose(clean, min(count, len(self)), threads)
        numbers[~finite] = -1
        there = numbers >= 0
        owners, rows = self._owners[numbers].astype(np.int64), self._rows[numbers].astype(np.int64)
        scores = np.full(numbers.shape, np.float32(-np.inf))
        for owner in np.unique(owners[there]).tolist():
            block = self.blocks[owner]
            own = np.where(there & (owners == owner), rows, -1)
            own[~block.seen(own, probes.capture_ns, moment)] = -1
            np.maximum(scores, inner_products(probes.templates, block.templates, own), out=scores)
        visible = scores > -np.inf
        proposed, seen = there.sum(axis=1), visible.sum(axis=1)
        hidden = (proposed - seen) * count > numbers.shape[1] * (count - wanted)
        # also where fewer than k are visible, since their k-th best is -inf
        tied = kth_best(scores, k) <= np.where(visible, scores, np.inf).min(axis=1, initial=np.inf)
        short = finite & (proposed < len(self)) & (hidden | tied)
        return Found(scores, owners, rows), np.flatnonzero(short)
