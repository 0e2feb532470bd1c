"""What a kind of index adds to the rows that a shard owns: a structure that proposes rows, built over copies of them.

A selector only proposes. Which of its rows a probe may see, and their scores, are decided on the rows themselves, so
the same score is reported for a pair whatever the kind of index.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.block import Block

CHUNK_ROWS: Final = 16_384
"""Templates that are copied at a time, 8 MiB at d = 128."""


class Selector(Protocol):
    """A structure over templates, numbered from 0, that does not change once it is built; threads may share it."""

    def propose(self, probes: NDArray[np.float32], count: int, threads: int) -> NDArray[np.int64]:
        """Numbers int64[N,m] of templates that resemble probes float32[N,d], in any order; -1 where it has fewer.

        m is `count` or more, for a selector that knows the order of what it proposes only roughly. `threads` threads
        compute, and the interpreter lock is released meanwhile.
        """

    def wipe(self) -> None:
        """Overwrite the copies of templates that it holds; nobody may use it afterwards."""


class Part(NamedTuple):
    """Some rows of one block."""

    block: Block
    rows: NDArray[np.int64]
    """Rising."""


class Templates:
    """The templates that a selector is built over, in the order of their numbers; its copies of them are overwritten.

    A row that is removed meanwhile may be read as zeros, or in part; nobody finds it any more.
    """

    def __init__(self, parts: Sequence[Part], dimension: int) -> None:
        self.parts = parts
        self.dimension = dimension

    def __len__(self) -> int:
        return sum(len(part.rows) for part in self.parts)

    def chunks(self) -> Iterator[NDArray[np.float32]]:
        """All of them as float32[n,d] with at most `CHUNK_ROWS` rows, each good until the next one."""
        scratch = np.empty((min(CHUNK_ROWS, len(self)), self.dimension), np.float32)
        try:
            for block, rows in self.parts:
                for first in range(0, len(rows), CHUNK_ROWS):
                    some = rows[first : first + CHUNK_ROWS]
                    yield np.take(block.templates, some, axis=0, out=scratch[: len(some)], mode="clip")
        finally:
            scratch.fill(0.0)

    def sample(self, count: int, seed: int) -> NDArray[np.float32]:
        """`count` of them, all if there are fewer, drawn at random; whoever asked overwrites them."""
        drawn = np.random.default_rng(seed).permutation(len(self))[:count]
        drawn.sort()
        taken = np.empty((len(drawn), self.dimension), np.float32)
        begin = 0
        for block, rows in self.parts:
            first, last = np.searchsorted(drawn, [begin, begin + len(rows)])
            np.take(block.templates, rows[drawn[first:last] - begin], axis=0, out=taken[first:last], mode="clip")
            begin += len(rows)
        return taken


class Kind(NamedTuple):
    """How selectors of one kind of index are made."""

    build: Callable[[Templates, int], Selector]
    """Builds one with as many threads; the templates are at least `least_rows`."""
    least_rows: int
    """With fewer templates a selector gains nothing over an exact search, or cannot be trained."""
