"""Pictures are decoded in as many threads as are set, and one alone is the one that asks."""

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.actors.batch import Extent, FrameFacts, Sorted
from pipeline.actors.intake import Intake
from pipeline.core.clocks import ClockTrust
from pipeline.core.pressure import Overload, Policy
from pipeline.records import ConsumedRecord
from pipeline.testing.clock import FakeClock

FRAMES = 8


def batch() -> Sorted:
    """Frames that were read, whose pictures are their offsets."""
    frames = [
        (
            FrameFacts(0, offset, "cam", "run", offset, 0, 0, clock_trusted=True),
            ConsumedRecord(0, offset, 0, b"cam", bytes([offset]), ()),
        )
        for offset in range(FRAMES)
    ]
    return Sorted(Extent(FRAMES, {0: FRAMES}, (), None, 0, 0), tuple(frames), (), ())


@pytest.mark.parametrize(("threads", "elsewhere"), [(1, False), (2, True)])
def test_pictures_keep_their_order_and_one_thread_is_the_one_that_asks(threads: int, *, elsewhere: bool) -> None:
    """A thread of its own would hand over each picture by itself, which costs more than it gains."""
    used: set[int] = set()

    def decode(jpeg: bytes) -> NDArray[np.uint8]:
        used.add(threading.get_ident())
        return np.full((1, 1, 3), jpeg[0], np.uint8)

    intake = Intake(
        decode=decode,
        threads=threads,
        overload=Overload(Policy.BLOCK, 10**9),
        clocks=ClockTrust(10**9),
        clock=FakeClock(),
    )
    opened = intake.open(batch(), 0)
    intake.close()
    assert [int(frame.image[0, 0, 0]) for frame in opened.frames] == list(range(FRAMES))
    assert (threading.get_ident() not in used) == elsewhere
    assert len(used) <= threads
