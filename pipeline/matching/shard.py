"""A shard of the watchlist over an index of its own."""

from typing import Final

import numpy as np

from pipeline.matching.block import compile_search
from pipeline.matching.engine import faiss
from pipeline.matching.index import InnerProductIndex
from pipeline.records import Probes, ShardReply

CATCH_UP_SECONDS: Final = 0.2
"""How long a search waits for a version that its shard has not reached; the tail looks at the topic more often."""


class FaissShard:
    """Implements `pipeline.ports.Shard` over an index that another thread changes; safe to call from several threads.

    Raises ModelError when it is made, if FAISS is not there.
    """

    def __init__(self, number: int, index: InnerProductIndex, *, catch_up_seconds: float = CATCH_UP_SECONDS) -> None:
        faiss()
        compile_search()
        self._number = number
        self._index = index
        self._catch_up_seconds = catch_up_seconds

    def search(self, probes: Probes, k: int, at_least_version: int = 0) -> ShardReply:
        """The `k` best candidates of each probe among entries that had not expired when it was captured.

        Waits up to `catch_up_seconds` for `at_least_version` and answers from what is there then.
        """
        if self._index.latest.version < at_least_version:
            self._index.wait_for(at_least_version, self._catch_up_seconds)
        # arrays that came in a message cannot be written to, and numba would compile the search anew for them
        own = Probes(
            np.require(probes.templates, np.float32, ["C", "W"]), np.require(probes.capture_ns, np.int64, ["C", "W"])
        )
        with self._index.snapshot() as held:
            found = self._index.search(held, own, k)
        return ShardReply(
            shard=self._number,
            version=held.version,
            entries=held.entries,
            candidates=tuple(map(tuple, found)),
        )
