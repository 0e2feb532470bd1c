"""A batch on its way through a worker: sorted (read), opened (decoded), then seen (detected and embedded).

JPEG bytes stay in the consumed records, of which `Intake` keeps those to be decoded, until they are. Pixels live in
`OpenedFrame.image` alone and go no further than `Sight`, which drops them; what is left is numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog.metrics import STAGE_SECONDS
from pipeline.catalog.outcomes import Outcome
from pipeline.ports import Telemetry
from pipeline.records import Batch, ConsumedRecord, DeadLetter, OffsetRange


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """What is known of a frame apart from its picture."""

    partition: int
    offset: int
    camera: str
    camera_run: str
    sequence: int
    capture_ns: int
    append_ns: int
    clock_trusted: bool

    @property
    def matching_ns(self) -> int:
        """The time that the cool-down, the shedding and an entry's expiry are judged by."""
        return self.capture_ns if self.clock_trusted else self.append_ns


@dataclass(frozen=True, slots=True)
class OpenedFrame:
    """A frame and its decoded picture, BGR uint8[H,W,3]."""

    facts: FrameFacts
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Extent:
    """What stays of a consumed batch: where its records lay, and what its transaction has to show; no record."""

    records: int
    ends: Mapping[int, int]
    """Per partition the offset after the last record or expired gap."""
    expired: tuple[OffsetRange, ...]
    membership: Any
    """The consumer-group metadata read when the batch was consumed."""
    assignment: int
    """The source's count of assignments then."""
    consumed_ns: int
    """When the last of its records were consumed."""

    def then(self, later: "Extent") -> "Extent":
        """With what was consumed after it under the same assignment; the membership stays the older one."""
        return replace(
            self,
            records=self.records + later.records,
            ends={**self.ends, **later.ends},
            expired=self.expired + later.expired,
            consumed_ns=later.consumed_ns,
        )


def extent_of(batch: Batch) -> Extent:
    """The extent of what one poll gave, which does not keep its records alive."""
    ends: dict[int, int] = {}
    for record in batch.records:
        ends[record.partition] = max(ends.get(record.partition, 0), record.offset + 1)
    for gap in batch.expired:
        ends[gap.partition] = max(ends.get(gap.partition, 0), gap.end)
    return Extent(len(batch.records), ends, batch.expired, batch.membership, batch.assignment, batch.consumed_ns)


@dataclass(frozen=True, slots=True)
class Ending:
    """A record whose end was decided before anything looked at it: shed or dead-lettered."""

    partition: int
    offset: int
    outcome: Outcome
    camera: str | None
    """None if the record does not say."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """A batch whose records have been read, and nothing decoded: frames to look at, and those that ended already."""

    extent: Extent
    frames: tuple[tuple[FrameFacts, ConsumedRecord], ...]
    endings: tuple[Ending, ...]
    dead_letters: tuple[DeadLetter, ...]

    def then(self, later: "Sorted") -> "Sorted":
        """With what was consumed after it under the same assignment."""
        return Sorted(
            self.extent.then(later.extent),
            self.frames + later.frames,
            self.endings + later.endings,
            self.dead_letters + later.dead_letters,
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """A batch whose frames have been decoded, with what ended without a look."""

    extent: Extent
    number: int
    frames: tuple[OpenedFrame, ...]
    endings: tuple[Ending, ...]
    dead_letters: tuple[DeadLetter, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """A batch without pictures, encoded or decoded: the facts of its frames, and its faces."""

    extent: Extent
    number: int
    endings: tuple[Ending, ...]
    dead_letters: tuple[DeadLetter, ...]
    frames: tuple[FrameFacts, ...]
    face_frame: NDArray[np.int64]
    """int64[N]: index into `frames` of each face."""
    boxes: NDArray[np.float32]
    """float32[N,4]: x0, y0, x1, y1 in pixels."""
    templates: NDArray[np.float32]
    """float32[N,d], L2-normalised."""

    @property
    def capture_ns(self) -> NDArray[np.int64]:
        """int64[N]: the time by which each face's frame is matched."""
        return np.array([facts.matching_ns for facts in self.frames], np.int64)[self.face_frame]

    def box(self, face: int) -> tuple[float, float, float, float]:
        """The box of one face as plain numbers."""
        x0, y0, x1, y1 = self.boxes[face].tolist()
        return (x0, y0, x1, y1)


@dataclass(frozen=True, slots=True)
class StageSpan:
    """When a batch was in a stage; seconds of the process's monotonic clock."""

    batch: int
    stage: str
    began: float
    ended: float


@dataclass(slots=True)
class Trace:
    """The stage spans of a worker: each is measured, and the latest are kept for a look at how stages overlap."""

    telemetry: Telemetry
    limit: int = 1024
    spans: list[StageSpan] = field(default_factory=list)

    def add(self, batch: int, stage: str, began: float, ended: float) -> None:
        """Measure one span and keep it, dropping the oldest above the limit."""
        self.telemetry.observe(STAGE_SECONDS, ended - began, stage=stage)
        self.spans.append(StageSpan(batch, stage, began, ended))
        if len(self.spans) > 2 * self.limit:
            del self.spans[: -self.limit]
