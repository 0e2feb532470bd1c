"""The dimension of templates: what the settings' embedder makes, and what stands on the watchlist."""

from pathlib import Path
from typing import Final

from pipeline.catalog.topics import WATCHLIST
from pipeline.errors import ModelError
from pipeline.runtime.settings import Settings
from pipeline.streams.client import Connection
from pipeline.streams.reader import TopicReader
from pipeline.vision.model_manifest import read_model_manifest
from pipeline.wire.watchlist import HEARTBEAT_KEY, dimension_in

SHIPPED_DIMENSION: Final = 128
"""d of the shipped embedder."""
RECORDS_LOOKED_AT: Final = 10_000
"""Records of the watchlist that a worker looks at before it starts; all of a long list would take seconds."""
POLL_SECONDS: Final = 1.0


def dimension_of(settings: Settings) -> int:
    """Components of every template of a run: as the manifest of the embedder says, or the shipped one's.

    Raises ModelError if the manifest cannot be read.
    """
    path = settings.vision.embedder_model
    said = None if path is None else read_model_manifest(path, "embedder").dimension
    return SHIPPED_DIMENSION if said is None else said


def standing_dimensions(connection: Connection) -> dict[int, int]:
    """Entries on the watchlist by their templates' dimension, among the first `RECORDS_LOOKED_AT` records.

    Raises BrokerError if Kafka or the topic is not there.
    """
    reader = TopicReader(connection, WATCHLIST)
    standing: dict[bytes, int] = {}
    seen = 0
    try:
        ends = reader.ends()
        while seen < RECORDS_LOOKED_AT and not reader.reached(ends):
            for record in reader.poll(POLL_SECONDS):
                seen += 1
                standing.pop(record.key or b"", None)
                dimension = dimension_in(record.value)
                if record.key != HEARTBEAT_KEY and dimension is not None:
                    standing[record.key or b""] = dimension
    finally:
        reader.close()
    counts: dict[int, int] = {}
    for dimension in standing.values():
        counts[dimension] = counts.get(dimension, 0) + 1
    return counts


def require_dimension(connection: Connection, dimension: int, model: Path | None) -> None:
    """Raise ModelError with both numbers if entries stand on the watchlist and none has the embedder's dimension.

    Before a run's first frame: its shards would pass every entry over, and nobody would be found.
    """
    standing = standing_dimensions(connection)
    if not standing or dimension in standing:
        return
    other, entries = max(standing.items(), key=lambda item: item[1])
    embedder = "the shipped embedder" if model is None else f"the embedder of {model}"
    raise ModelError(
        f"{embedder} makes templates of dimension {dimension}, but those on the watchlist have dimension {other} "
        f"({entries} entries looked at): load templates that this embedder made, or set vision.embedder_model"
    )
