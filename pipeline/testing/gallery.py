"""A gallery in memory that can be made to stay away."""

from pipeline.errors import ShardUnavailable
from pipeline.records import Probes, SearchResult
from pipeline.testing.shard import FakeShard


class FakeGallery:
    """Implements `pipeline.ports.Gallery` on one fake shard."""

    def __init__(self, shard: FakeShard | None = None) -> None:
        self.shard = FakeShard() if shard is None else shard
        self.fraction_searched = 1.0
        """What the results say; a test sets it to play a lost shard under `degrade`."""
        self.searches = 0
        self._away = 0

    def stay_away(self, searches: int) -> None:
        """Make the next `searches` fail as a lost shard does under `wait`."""
        self._away = searches

    def search(self, probes: Probes, k: int) -> SearchResult:
        """See the port."""
        if self._away > 0:
            self._away -= 1
            raise ShardUnavailable("fake gallery: no replica of shard 0 answered in time")
        self.searches += 1
        reply = self.shard.search(probes, k)
        return SearchResult(reply.candidates, reply.version, reply.version, self.fraction_searched)
