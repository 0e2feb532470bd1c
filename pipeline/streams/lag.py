"""How far a consumer group is behind, asked from outside it."""

from collections.abc import Mapping, Sequence

from pipeline.streams.client import Connection
from pipeline.streams.commits import GroupCommits
from pipeline.streams.offsets import LogEnds


class GroupLag:
    """Asks the broker about one topic and one group, whose members are not disturbed by it."""

    def __init__(self, connection: Connection, *, topic: str, group: str) -> None:
        self._commits = GroupCommits(connection, topic=topic, group=group)
        self._log = LogEnds(connection, topic)
        self._partitions: Sequence[int] = ()

    def frames(self) -> int:
        """Records that the group has not committed and retention has not deleted, over all partitions.

        Raises BrokerError.
        """
        if not self._partitions:
            self._partitions = self._log.partitions()
        committed = self._commits.offsets(self._partitions)
        # asked for after the offsets, which therefore lie below
        ends = self._log.now(self._partitions)
        return waiting(committed, self._log.starts(self._partitions), ends)

    def close(self) -> None:
        """Free the connection to the group."""
        self._commits.close()


def waiting(committed: Mapping[int, int], starts: Mapping[int, int], ends: Mapping[int, int]) -> int:
    """Records from the committed offsets to the ends of the log; none that retention has deleted.

    All of a partition's records where nothing is committed yet.
    """
    return sum(max(0, end - max(committed.get(each, 0), starts[each])) for each, end in ends.items())
