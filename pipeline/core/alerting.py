"""From the candidates of a frame's faces to its alerts."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Protocol

import msgspec

from pipeline.core.cooldown import Cooldown
from pipeline.records import Alert, Candidate


class Criteria(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker alerts by, and the names that it signs with."""

    threshold: float
    """Cosine similarity; a score that reaches it alerts."""
    top_k: int
    """Candidates asked of each search."""
    embedder_version: str
    run: str
    slot: int


class Sighting(msgspec.Struct, frozen=True):
    """One face of a frame with what the gallery found for it."""

    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 in pixels of the frame."""
    candidates: tuple[Candidate, ...]


class SightedFrame(Protocol):
    """What an alert says of its frame; times are nanoseconds since the Unix epoch."""

    @property
    def partition(self) -> int:
        """Partition of ``frames``."""

    @property
    def offset(self) -> int:
        """Offset in the partition."""

    @property
    def camera(self) -> str:
        """Camera id."""

    @property
    def camera_run(self) -> str:
        """The producer's life that `sequence` counts in."""

    @property
    def sequence(self) -> int:
        """Number of the frame in its camera run."""

    @property
    def capture_ns(self) -> int:
        """Intended capture instant as the camera stated it."""

    @property
    def append_ns(self) -> int:
        """The broker's append time."""

    @property
    def matching_ns(self) -> int:
        """The instant that the cool-down goes by: capture time, or append time of a clock-untrusted camera."""


def alert_id(camera: str, camera_run: str, sequence: int, entry: str) -> str:
    """The id of the alert for `entry` on one frame: 32 hexadecimal digits.

    The first 128 bits of a SHA-256 over the parts, each preceded by its length, so that no two frames or entries share
    an id. It does not depend on box or score: what a network puts out for a face in a batch and alone is not bit-equal,
    and a replay has to make the same id.
    """
    digest = sha256()
    for part in (camera, camera_run, str(sequence), entry):
        text = part.encode()
        digest.update(len(text).to_bytes(4, "big"))
        digest.update(text)
    return digest.hexdigest()[:32]


def decide(
    frame: SightedFrame,
    sightings: Iterable[Sighting],
    criteria: Criteria,
    cooldown: Cooldown,
    decided_ns: int,
    *,
    fraction_searched: float,
) -> list[Alert]:
    """The alerts of one frame, sorted by entry: for each entry its best face, unless the cool-down is running.

    An entry is matched by a face whose score reaches the threshold; of two faces with the same score the first counts.
    Each alert is noted in `cooldown`, so frames are to be decided in offset order.
    """
    alerts = []
    for entry, (box, candidate) in sorted(_best_faces(sightings, criteria.threshold).items()):
        if not cooldown.admits(frame.camera, entry, frame.matching_ns):
            continue
        cooldown.note(frame.camera, entry, frame.matching_ns)
        alerts.append(
            Alert(
                id=alert_id(frame.camera, frame.camera_run, frame.sequence, entry),
                camera=frame.camera,
                camera_run=frame.camera_run,
                sequence=frame.sequence,
                entry=entry,
                reference=candidate.reference,
                score=candidate.score,
                threshold=criteria.threshold,
                capture_ns=frame.capture_ns,
                cooldown_ns=frame.matching_ns,
                append_ns=frame.append_ns,
                decided_ns=decided_ns,
                box=box,
                frame_partition=frame.partition,
                frame_offset=frame.offset,
                watchlist_version=candidate.version,
                embedder_version=criteria.embedder_version,
                fraction_searched=fraction_searched,
                run=criteria.run,
                slot=criteria.slot,
            )
        )
    return alerts


Box = tuple[float, float, float, float]


def _best_faces(sightings: Iterable[Sighting], threshold: float) -> dict[str, tuple[Box, Candidate]]:
    best: dict[str, tuple[Box, Candidate]] = {}
    for sighting in sightings:
        for candidate in sighting.candidates:
            if candidate.score < threshold:
                continue
            known = best.get(candidate.entry)
            if known is None or candidate.score > known[1].score:
                best[candidate.entry] = (sighting.box, candidate)
    return best
