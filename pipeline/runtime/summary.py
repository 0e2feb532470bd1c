"""What a demo writes to summary.json; its JSON Schema is docs/summary.schema.json.

Durations and latencies are in seconds, times of latencies as the design defines them: glass-to-alert runs from a
frame's intended capture instant to the commit that accounts for it, queue age from append to consume. A quantile of
nothing is null.
"""

import ast
import inspect
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.errors import ResourceError

FILE_NAME: Final = "summary.json"


class Quantiles(msgspec.Struct, frozen=True):
    """A distribution over frames, in seconds; null where there was no frame."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class CameraCounts(msgspec.Struct, frozen=True):
    """What the producers counted, over all cameras."""

    intended: int
    """Capture instants that came."""
    sent: int
    """Frames that Kafka acknowledged."""
    failed: int
    """Frames that Kafka did not take."""


class Custody(msgspec.Struct, frozen=True):
    """What became of every offset of the frames topic."""

    consumed: int
    """Records read from Kafka."""
    processed: int
    shed: int
    dead_lettered: int
    expired: int
    """Deleted by retention before they were read; not among the consumed."""
    unauthorised: int
    unreadable: int
    balanced: bool
    """Whether the receipts cover each partition with no gap and no overlap, and consumed is the sum of the outcomes
    but expired."""


class Truth(msgspec.Struct, frozen=True):
    """The alerts held against what was planted."""

    planted_passes: int
    """Passes of listed people within the cameras' working distance that were over before the last frame."""
    alerted_passes: int
    """Of those, the ones with an alert for the right entry."""
    doubled_passes: int
    """Passes with more than one alert."""
    false_alerts: int
    """Alerts that no pass of their entry explains."""
    faces: int
    """Faces in the frames sent."""


class CameraSummary(msgspec.Struct, frozen=True):
    """One camera, or one district above the limit of cameras."""

    camera: str
    sent: int
    frames: int
    """Frames accounted for."""
    shed: int
    faces: int
    alerts: int
    latency_seconds: Quantiles
    queue_age_seconds: Quantiles


class Pool(msgspec.Struct, frozen=True):
    """An elastic pool of workers."""

    least: int
    """Workers that there are at least."""
    most: int
    """Workers that there are at most."""
    grown: int
    """Changes to more workers."""
    shrunk: int
    """Changes to fewer workers."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one demo."""

    ok: bool
    """Whether the run ended as it should: custody balanced, and every frame that was intended is accounted for."""
    problems: list[str]
    """What was not as it should be, a sentence each; empty if ok."""
    run: str
    replaced_processes: int
    """Workers and shards that died and were replaced; nothing is lost by that if custody balances."""
    last_replacement: str
    """Which of them was the latest, and why; empty if none was."""
    pool: Pool | None
    """Null if the number of workers was fixed."""
    seed: int
    seconds: float
    """How long the cameras sent."""
    versions: dict[str, str]
    """Lamppost, Python, Kafka, the libraries that compute or carry frames, and the machine."""
    settings: dict[str, str]
    """Every resolved setting by its dotted name; secrets are not shown."""
    cameras: CameraCounts
    custody: Custody
    truth: Truth | None
    """Null if the cameras showed no synthetic scenes."""
    alerts: int
    first_alert_seconds: float | None
    """From the start of the command to the first alert read from Kafka; null if there was none."""
    frames_per_second: float
    """Processed frames ÷ the time from the first to the last commit."""
    latency_seconds: Quantiles
    """Glass-to-alert, over all processed frames."""
    alert_latency_seconds: Quantiles
    """Glass-to-alert, over alerting frames."""
    queue_age_seconds: Quantiles
    memory_peak_bytes: int
    """Greatest proportional set size (PSS), summed over all processes of the run."""
    per_camera: list[CameraSummary]


def require_folder(folder: Path) -> None:
    """Make `folder` if needed, and raise ResourceError if results could not be written into it.

    Asked before a run: hours of work must not end in a message about a path.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{FILE_NAME}.part"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ResourceError(
            f"{folder} cannot be written to ({error.strerror or error}); choose another folder with --out"
        ) from error


def write_summary(summary: Summary, folder: Path) -> Path:
    """Write summary.json into `folder`, which is made if needed; raises ResourceError if it can't be written."""
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    except OSError as error:
        raise ResourceError(
            f"{path} cannot be written ({error.strerror or error}); choose another folder with --out"
        ) from error
    return path


def read_summary(path: Path) -> Summary:
    """What `write_summary` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Summary)


def summary_schema() -> dict[str, Any]:
    """The JSON Schema of summary.json; a field's description is the docstring below it."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Summary)}
    for kind in (Quantiles, CameraCounts, Custody, Truth, CameraSummary, Pool, Summary):
        properties = schema["$defs"][kind.__name__]["properties"]
        for field, said in _field_docstrings(kind).items():
            properties[field] = {"description": said, **properties[field]}
    return schema


def _field_docstrings(kind: type[msgspec.Struct]) -> dict[str, str]:
    (definition,) = ast.parse(inspect.getsource(kind)).body
    said: dict[str, str] = {}
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    for field, after in pairwise(body):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                said[name] = " ".join(text.split())
    return said
