"""The demo's people on the watchlist topic, from their publication to their removal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.catalog.topics import WATCHLIST
from pipeline.errors import BrokerError
from pipeline.records import WatchlistEntry
from pipeline.streams.client import Connection
from pipeline.streams.writer import DELIVERY_SECONDS, RecordWriter
from pipeline.wire import watchlist as watchlist_wire

if TYPE_CHECKING:
    from pipeline.actors.run_plan import RunStatus


class DemoWatchlist:
    """Nobody is on it until `publish`; what is published has to be taken off again from a Kafka that stays."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._entries: list[str] = []
        self._version: int | None = None

    @property
    def published(self) -> bool:
        """Whether everybody is on the topic."""
        return self._version is not None

    def publish(self, entries: Sequence[WatchlistEntry]) -> None:
        """Put entries on the topic; raises BrokerError if Kafka does not take them all."""
        records = [watchlist_wire.encode(entry, len(entry.template)) for entry in entries]
        self._entries = [entry.entry for entry in entries]
        writer = RecordWriter(self._connection)
        try:
            self._version = writer.write(records)[WATCHLIST, 0]
        finally:
            writer.close()

    def awaited(self, status: "RunStatus") -> dict[str, str]:
        """The shards that do not search all of it yet, with where they are."""
        if self._version is None:
            return {}
        return {
            f"watchlist on {shard.name}": f"version {shard.version} of {self._version}"
            for shard in status.shards
            if shard.version < self._version
        }

    def withdraw(self, within: float = DELIVERY_SECONDS) -> None:
        """Take off again what was put on; does nothing the second time.

        Raises BrokerError, with how many are left there, if Kafka does not take the removals in `within` seconds.
        """
        entries, self._entries = self._entries, []
        if not entries:
            return
        writer = RecordWriter(self._connection, delivery_timeout=within)
        try:
            writer.write([watchlist_wire.encode_removal(entry) for entry in entries])
        except BrokerError as error:
            raise BrokerError(
                f"{len(entries)} templates of the demo may still be on the watchlist, since their removal failed "
                f"({error}); `lamppost watchlist show` lists them, `lamppost watchlist remove` takes one off"
            ) from error
        finally:
            writer.close()
