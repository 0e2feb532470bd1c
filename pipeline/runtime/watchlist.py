"""The job behind ``lamppost watchlist``: publish entries and removals, and list who is sought."""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from pipeline.catalog.topics import TOPICS, WATCHLIST
from pipeline.errors import InputError, WatchlistError
from pipeline.records import ConsumedRecord, OutgoingRecord, WatchlistEntry
from pipeline.runtime.connections import connection_of
from pipeline.runtime.dimensions import dimension_of
from pipeline.runtime.enrolment import Enrolment
from pipeline.runtime.settings import Settings
from pipeline.runtime.watchlist_files import parse_expiry, read_entries, read_template
from pipeline.runtime.words import counted
from pipeline.streams.client import Connection
from pipeline.streams.offsets import LogEnds
from pipeline.streams.probe import probe
from pipeline.streams.reader import TopicReader
from pipeline.streams.writer import RecordWriter
from pipeline.wire import watchlist as codec

CHUNK: Final = 500
"""Entries per call of the writer; progress moves on after each."""
READ_SECONDS: Final = 60.0
SEGMENT_SECONDS: Final = next(int(topic.config["segment.ms"]) / 1000 for topic in TOPICS if topic.name == WATCHLIST)
SEGMENT_MARGIN_SECONDS: Final = 0.25
"""So that the age is beyond doubt, which Kafka takes from the records' times in whole milliseconds."""
LOOK_SECONDS: Final = 0.05

Progress = Callable[[int, int], None]
"""Called with the entries that are done, made or taken by Kafka, and the entries in all."""


class Loaded(NamedTuple):
    """What a command has published."""

    entries: int
    warning: str
    """What may not be meant, in a sentence; empty if nothing."""


class Listed(NamedTuple):
    """One entry as it is shown; never the template."""

    entry: str
    list_id: str
    reference: str
    expires: str


class Sought(NamedTuple):
    """What the topic says of everyone, read from its beginning to its end."""

    entries: dict[str, WatchlistEntry]
    """The last word on each entry, by its id."""
    refused: dict[str, str]
    """Keys whose last record is no entry, and why; shards pass them over."""


def load(settings: Settings, file: Path, progress: Progress) -> Loaded:
    """Add or replace the entries of a file; nothing is published unless every row is valid.

    Raises InputError or WatchlistError as `read_entries` does, BrokerError if Kafka does not take them.
    """
    connection = connection_of(settings)
    dimension = dimension_of(settings)
    entries = read_entries(file, dimension, settings.watchlist.list_id)
    _write(connection, [codec.encode(entry, dimension) for entry in entries], progress)
    return Loaded(len(entries), expired_already(entries, time.time_ns()))


def load_synthetic(settings: Settings, enrolling: Progress) -> Loaded:
    """Add or replace the people whom synthetic streets of `cameras.seed` show as listed: `demo.watchlist_size` of them.

    They are enrolled in a process of its own, unless this user's cache has them. Raises BrokerError before that if
    Kafka or the topic is not there.
    """
    connection = connection_of(settings)
    _require(connection)
    size = settings.demo.watchlist_size
    enrolment = Enrolment(settings.cameras.seed, size, settings.vision.embedder_model, settings.vision.folder)
    try:
        while not enrolment.complete:
            enrolling(enrolment.done, size)
            time.sleep(LOOK_SECONDS)
    finally:
        enrolment.stop()
    entries = [msgspec.structs.replace(entry, list_id=settings.watchlist.list_id) for entry in enrolment.entries]
    _write(connection, [codec.encode(entry, len(entry.template)) for entry in entries])
    return Loaded(len(entries), "")


def expired_already(entries: Sequence[WatchlistEntry], now_ns: int) -> str:
    """A sentence about the entries that can match nothing any more; empty if there are none."""
    late = [entry for entry in entries if entry.expires_ns is not None and entry.expires_ns <= now_ns]
    if not late:
        return ""
    return (
        f"{counted(len(late), 'entry', 'entries')} of {len(entries):,} expired before now and can match no new frame: "
        f"{late[0].entry!r} at {_iso(late[0].expires_ns)}" + (" first" if len(late) > 1 else "")
    )


def add(settings: Settings, entry: str, template: Path, reference: str = "", expires: str | None = None) -> Loaded:
    """Add or replace one entry with the template of a ``.npy`` file; `expires` is an ISO 8601 time with a time zone."""
    connection = connection_of(settings)
    expires_ns = None if expires is None else parse_expiry(expires, "--expires")
    listed = WatchlistEntry(entry, read_template(template), reference, settings.watchlist.list_id, expires_ns)
    try:
        record = codec.encode(listed, dimension_of(settings))
    except WatchlistError as error:
        raise WatchlistError(f"{template}: {error}") from error
    _write(connection, [record])
    return Loaded(1, expired_already([listed], time.time_ns()))


def remove(settings: Settings, entry: str) -> None:
    """Take one entry off the watchlist; raises InputError if no record of that id is there."""
    connection = connection_of(settings)
    removal = codec.encode_removal(entry)
    there = read(connection, dimension_of(settings))
    if entry not in there.entries and entry not in there.refused:
        raise InputError(f"nobody on the watchlist has the id {entry!r}; `lamppost watchlist show` lists the ids")
    _write(connection, [removal])


def close_segment(settings: Settings) -> None:
    """Make Kafka close the segment that the last removal lies in, so that it is compacted; takes five seconds.

    Only a record that comes when the segment is old enough closes it. Runs write such heartbeats, but none may be up.
    """
    time.sleep(SEGMENT_SECONDS + SEGMENT_MARGIN_SECONDS)
    _write(connection_of(settings), [codec.encode_heartbeat()])


def listing(settings: Settings) -> tuple[list[Listed], list[str]]:
    """Everyone sought at this moment by entry id, and a sentence for each record that is no entry."""
    there = read(connection_of(settings), dimension_of(settings))
    rows = [
        Listed(entry.entry, entry.list_id, entry.reference, _iso(entry.expires_ns))
        for _, entry in sorted(there.entries.items())
    ]
    return rows, list(there.refused.values())


def read(connection: Connection, dimension: int) -> Sought:
    """The watchlist up to its end at this moment; raises BrokerError if Kafka or the topic is not there."""
    probe(connection)
    reader = TopicReader(connection, WATCHLIST)
    try:
        return last_words(reader.read_to(reader.ends(), READ_SECONDS), dimension)
    finally:
        reader.close()


def last_words(records: Iterable[ConsumedRecord], dimension: int) -> Sought:
    """What records of the topic, in their order, leave standing; templates have `dimension` components."""
    sought = Sought({}, {})
    for record in records:
        key = (record.key or b"").decode(errors="replace")
        sought.entries.pop(key, None)
        sought.refused.pop(key, None)
        try:
            said = codec.decode(record.key, record.value, record.headers, dimension)
        except WatchlistError as error:
            sought.refused[key] = f"offset {record.offset}: {error}"
            continue
        if isinstance(said, WatchlistEntry):
            sought.entries[said.entry] = said
    return sought


def _write(connection: Connection, records: list[OutgoingRecord], progress: Progress | None = None) -> None:
    _require(connection)
    writer = RecordWriter(connection)
    try:
        for first in range(0, len(records), CHUNK):
            writer.write(records[first : first + CHUNK])
            if progress is not None:
                progress(min(first + CHUNK, len(records)), len(records))
    finally:
        writer.close()


def _require(connection: Connection) -> None:
    """Raise BrokerError if Kafka or the topic is not there; one that Kafka made by itself would never forget."""
    probe(connection)
    LogEnds(connection, WATCHLIST).partitions()


def _iso(expires_ns: int | None) -> str:
    if expires_ns is None:
        return ""
    return datetime.fromtimestamp(expires_ns / 1e9, UTC).isoformat(timespec="seconds")
