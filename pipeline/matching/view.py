"""The watchlist topic as one shard sees it: each record of its entries, applied in order, is a change of the index."""

import ctypes
from collections.abc import Sequence

from pipeline.core.sharding import shard_of
from pipeline.errors import WatchlistError
from pipeline.matching.index import InnerProductIndex
from pipeline.records import ConsumedRecord, WatchlistEntry
from pipeline.wire.watchlist import HEARTBEAT_KEY, Removal, decode


class WatchlistView:
    """Applies records of the compacted, single-partition topic to the index of shard `shard` of `shards`.

    The watchlist version is the offset of the last record applied, of whatever shard; 0 before the first. A record
    that is no entry takes away what its key stood for before, as for a shard that starts after compaction, and is
    counted: it never ends a shard.

    The values of applied records are overwritten, so nobody else may hold them: freed memory keeps what was in it until
    it is used again, and a template is to lie in the index alone.
    """

    def __init__(self, index: InnerProductIndex, *, shard: int, shards: int, dimension: int) -> None:
        self._index = index
        self._shard = shard
        self._shards = shards
        self._dimension = dimension
        self._malformed = 0

    @property
    def version(self) -> int:
        """The watchlist version that searches see."""
        return self._index.latest.version

    @property
    def entries(self) -> int:
        """The entries that searches see, expired ones included until they are destroyed."""
        return self._index.latest.entries

    @property
    def settled(self) -> bool:
        """Whether nothing waits to be built over, and nothing of a removed template is left in the index."""
        return self._index.settled

    @property
    def malformed(self) -> int:
        """Records of this shard that were no entry."""
        return self._malformed

    def apply(self, records: Sequence[ConsumedRecord]) -> None:
        """Apply records in offset order, and overwrite their values; all become visible together."""
        if not records:
            return
        for record in records:
            self._take(record)
            _overwrite(record.value)
        self._index.publish(records[-1].offset)

    def sweep(self, now_ns: int) -> int:
        """Destroy what expired 180 s before `now_ns` and what was removed; returns the number of expired entries."""
        return self._index.sweep(now_ns)

    def _take(self, record: ConsumedRecord) -> None:
        if record.key == HEARTBEAT_KEY:
            return
        name = (record.key or b"").decode(errors="replace")
        if shard_of(name, self._shards) != self._shard:
            return
        try:
            said = decode(record.key, record.value, record.headers, self._dimension)
        except WatchlistError:
            self._malformed += 1
            self._index.remove(name)
            return
        if isinstance(said, WatchlistEntry):
            self._index.put(said)
            said.template.fill(0.0)  # the index has its copy
        elif isinstance(said, Removal):
            self._index.remove(said.entry)


def _overwrite(value: bytes | None) -> None:
    """Fill a value with zeros where it lies, though Python has no way to say so of bytes."""
    if value is not None and len(value) > 1:  # Python has each shorter one once, for everybody
        ctypes.memset(ctypes.c_char_p(value), 0, len(value))  # the pointer is to the bytes themselves
