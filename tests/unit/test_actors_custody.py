"""A frame that is lost or doubled on purpose, anywhere in the worker, ends it before its batch is committed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from memory_run import MemoryRun

from pipeline.actors.batch import Opened, Seen
from pipeline.actors.intake import Intake
from pipeline.actors.sight import Sight
from pipeline.catalog.topics import FRAMES
from pipeline.errors import CustodyError
from pipeline.records import Batch, OutgoingRecord

LOST = 5
"""Offset of the frame that is lost on purpose."""


class LosingIntake(Intake):
    """Forgets one frame between reading and decoding."""

    def open(self, batch: Batch, number: int) -> Opened:
        """See Intake."""
        opened = super().open(batch, number)
        return replace(opened, frames=tuple(frame for frame in opened.frames if frame.facts.offset != LOST))


class ForgetfulIntake(Intake):
    """Forgets to say what became of a record that is no frame."""

    def open(self, batch: Batch, number: int) -> Opened:
        """See Intake."""
        return replace(super().open(batch, number), endings=())


class LosingSight(Sight):
    """Forgets one frame, and its faces, while it looks."""

    def look(self, opened: Opened) -> Seen:
        """See Sight."""
        kept = tuple(frame for frame in opened.frames if frame.facts.offset != LOST)
        return super().look(replace(opened, frames=kept))


class DoublingSight(Sight):
    """Looks at one frame twice."""

    def look(self, opened: Opened) -> Seen:
        """See Sight."""
        twice = tuple(frame for frame in opened.frames if frame.facts.offset == LOST)
        return super().look(replace(opened, frames=opened.frames + twice))


class ForeignSight(Sight):
    """Says that it saw a frame which nobody consumed."""

    def look(self, opened: Opened) -> Seen:
        """See Sight."""
        seen = super().look(opened)
        foreign = tuple(replace(facts, offset=facts.offset + 1000) for facts in seen.frames if facts.offset == LOST)
        return replace(seen, frames=seen.frames + foreign, face_frame=np.array(seen.face_frame))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drops": ((0, LOST),)}, r"partition 0: offsets 5 to 5 were not delivered"),
        ({"intake": LosingIntake}, r"partition 0: offset 5 without an outcome"),
        ({"sight": LosingSight}, r"partition 0: offset 5 without an outcome"),
        ({"sight": DoublingSight}, r"partition 0: offset 5 with more than one outcome"),
        ({"sight": ForeignSight}, r"partition 0: offset 1005 with an outcome but not consumed"),
    ],
    ids=["lost in the consumer", "lost while decoding", "lost while looking", "doubled", "made up"],
)
def test_a_frame_lost_or_doubled_on_purpose_breaks_the_balance(
    run: MemoryRun, eventually: Callable[..., None], options: dict[str, object], message: str
) -> None:
    """The worker ends with CustodyError, which names the offset; nothing from that offset on is committed."""
    for _ in range(12):
        run.send(1)
    worker = run.worker(**options)
    eventually(lambda: worker.loop.failure is not None)
    with pytest.raises(CustodyError, match=message):
        raise worker.loop.failure  # type: ignore[misc]  # it is there by now
    assert worker.loop.stop(5.0)
    assert run.group.committed.get(0, 0) <= LOST
    assert any(gap.first <= LOST < gap.end for gap in run.audit().gaps)
    run.worker()
    eventually(lambda: run.settled)
    assert run.audit().balanced
    assert run.alerted == [("cam/0", "person-1")]


def test_a_dead_letter_that_is_not_accounted_for_breaks_the_balance(
    run: MemoryRun, eventually: Callable[..., None]
) -> None:
    """Records that are no frame need an outcome like any other."""
    worker = run.worker(intake=ForgetfulIntake)
    run.broker.add(OutgoingRecord(FRAMES, None, b"garbage", (), 0))
    eventually(lambda: isinstance(worker.loop.failure, CustodyError))
    assert run.receipts == []


def test_the_same_frames_without_a_fault_balance(run: MemoryRun, eventually: Callable[..., None]) -> None:
    """What the tests above break holds otherwise."""
    for _ in range(12):
        run.send(1)
    worker = run.worker()
    eventually(lambda: run.settled)
    assert run.audit().balanced
    assert worker.loop.failure is None
