"""Files of watchlist entries, read whole and checked row by row before anything is published.

Three formats, told apart by the file's ending; rows count from 1, `d` is the embedder's dimension, every template has
length 1. Optional fields may be left out; `expires` is an ISO 8601 time with a time zone.

- ``.npz``: ``ids`` str[N] and ``templates`` float[N,d]; optional ``references`` and ``expires`` str[N] ("" for none).
- ``.jsonl``: an object per line: ``entry``, ``template`` (d numbers); optional ``reference``, ``list_id``, ``expires``.
- ``.csv``: a row per entry without a heading: the entry id, then d numbers.
"""

import csv
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError, WatchlistError
from pipeline.records import WatchlistEntry
from pipeline.wire.watchlist import check

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    entry: str
    template: list[float]
    reference: str = ""
    list_id: str | None = None
    expires: str | None = None


def read_entries(path: Path, dimension: int, list_id: str) -> list[WatchlistEntry]:
    """All entries of `path`, in its order; those that name no list get `list_id`.

    Raises InputError if the file is missing or not of its format, WatchlistError naming row and entry if a template
    has not `dimension` components, is not normalised, or an id is unusable or there twice.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: the file's ending must be one of {', '.join(_READERS)}")
    entries: list[WatchlistEntry] = []
    rows: dict[str, int] = {}
    try:
        for number, row in enumerate(reader(path), start=1):
            where = f"{path} row {number}"
            entry = _entry(row, where, list_id)
            try:
                check(entry, dimension)
            except WatchlistError as error:
                raise WatchlistError(f"{where}: {error}") from error
            if entry.entry in rows:
                raise WatchlistError(
                    f"{where}: watchlist entry {entry.entry!r} is there already in row {rows[entry.entry]}"
                )
            rows[entry.entry] = number
            entries.append(entry)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {_said(error)}") from error
    if not entries:
        raise InputError(f"{path} holds no entry")
    return entries


def read_template(path: Path) -> NDArray[np.float32]:
    """The template of a ``.npy`` file, float32[d]; raises InputError if it holds no such array."""
    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {_said(error)}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(_no_file_of_numpy(path, ".npy")) from error
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind != "f":
        raise InputError(f"{path} must hold one template, floating-point numbers of shape [d], as numpy.save writes it")
    return array.astype(np.float32)


def parse_expiry(text: str, where: str) -> int:
    """Nanoseconds since the Unix epoch of an ISO 8601 time with a time zone; raises InputError naming `where`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{where}: {text!r} is no ISO 8601 time; write for instance 2026-12-31T18:00:00+00:00"
        ) from error
    if moment.tzinfo is None:
        raise InputError(f"{where}: {text!r} has no time zone; write for instance {text}+00:00 or {text}Z")
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000


def _entry(row: _Row, where: str, list_id: str) -> WatchlistEntry:
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, which check() refuses with the entry
        template = np.asarray(row.template, np.float64).astype(np.float32)
    expires_ns = parse_expiry(row.expires, f"{where}, entry {row.entry!r}") if row.expires else None
    return WatchlistEntry(row.entry, template, row.reference, row.list_id or list_id, expires_ns)


def _read_npz(path: Path) -> Iterator[_Row]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise InputError(f"{path} holds a single array, as a .npy file does; numpy.savez writes a .npz file")
        with loaded as arrays:
            held = {name: arrays[name] for name in arrays.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(_no_file_of_numpy(path, ".npz")) from error
    known = {"ids", "templates", "references", "expires"}
    if missing := {"ids", "templates"} - held.keys():
        raise InputError(f"{path} lacks the array {sorted(missing)[0]!r}; it must hold 'ids' and 'templates'")
    if unknown := held.keys() - known:
        raise InputError(f"{path} holds the unknown array {sorted(unknown)[0]!r}; known are {', '.join(sorted(known))}")
    ids, templates = held["ids"], held["templates"]
    if templates.ndim != 2 or templates.dtype.kind != "f":
        raise WatchlistError(f"{path}: 'templates' is {templates.dtype}{list(templates.shape)}, not float32[N,d]")
    for name in held.keys() - {"templates"}:
        if held[name].shape != (len(templates),) or held[name].dtype.kind != "U":
            raise WatchlistError(
                f"{path}: {name!r} is {held[name].dtype}{list(held[name].shape)}, not strings [{len(templates)}]"
            )
    references, expires = held.get("references"), held.get("expires")
    for index, entry in enumerate(ids):
        yield _Row(
            str(entry),
            templates[index],
            "" if references is None else str(references[index]),
            expires=None if expires is None else str(expires[index]),
        )


def _read_jsonl(path: Path) -> Iterator[_Row]:
    decoder = msgspec.json.Decoder(_Row)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise WatchlistError(f"{path} row {number}: {error}") from error


def _read_csv(path: Path) -> Iterator[_Row]:
    with path.open(encoding="utf-8", newline="") as lines:
        try:
            for number, cells in enumerate(csv.reader(lines), start=1):
                yield _Row(cells[0] if cells else "", _numbers(cells[1:], f"{path} row {number}", cells[:1]))
        except csv.Error as error:
            raise InputError(f"{path} is no CSV file: {error}") from error


def _numbers(cells: Sequence[str], where: str, entry: Sequence[str]) -> list[float]:
    numbers = []
    for column, cell in enumerate(cells, start=2):
        try:
            numbers.append(float(cell))
        except ValueError as error:
            raise WatchlistError(
                f"{where}, entry {''.join(entry)!r}: column {column} is {cell[:40]!r}, no number"
            ) from error
    return numbers


def _no_file_of_numpy(path: Path, ending: str) -> str:
    """The complaint about a file; numpy's own would advise to allow pickles, which can run any code."""
    writer = "numpy.save" if ending == ".npy" else "numpy.savez"
    return f"{path} is no {ending} file of plain arrays, or is damaged; {writer} writes one"


def _said(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


_READERS: Final[dict[str, Callable[[Path], Iterator[_Row]]]] = {
    ".npz": _read_npz,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
}
