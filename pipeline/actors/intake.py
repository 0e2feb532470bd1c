"""From consumed records to decoded pictures: read the record, apply the overload policy, decode."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from pipeline.actors.batch import Ending, FrameFacts, Opened, OpenedFrame, Sorted, extent_of
from pipeline.catalog.outcomes import Outcome
from pipeline.catalog.topics import FRAMES
from pipeline.core.clocks import ClockTrust
from pipeline.core.pressure import Overload
from pipeline.errors import FrameError
from pipeline.ports import Clock, Decode
from pipeline.records import Batch, ConsumedRecord, DeadLetter, Frame
from pipeline.wire import frames as frame_wire


class Intake:
    """Opens batches; every record leaves as a frame to look at, a shed frame or a dead letter."""

    def __init__(
        self, *, decode: Decode, threads: int, overload: Overload, clocks: ClockTrust, clock: Clock, topic: str = FRAMES
    ) -> None:
        self._decode = decode
        self._overload = overload
        self._clocks = clocks
        self._clock = clock
        self._topic = topic
        # one alone would have this thread wait for it, picture by picture
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode") if threads > 1 else None

    def sort(self, batch: Batch) -> Sorted:
        """Read the records and apply the overload policy: what is shed is not decoded."""
        frames: list[tuple[FrameFacts, ConsumedRecord]] = []
        endings: list[Ending] = []
        letters: list[DeadLetter] = []
        for record in batch.records:
            try:
                facts = self._facts(record, frame_wire.decode(record))
            except FrameError as error:
                letters.append(self._letter(record, error))
                endings.append(_refused(letters[-1]))
                continue
            if self._overload.sheds(age_ns=self._clock.now_ns() - facts.matching_ns):
                endings.append(Ending(facts.partition, facts.offset, Outcome.SHED, facts.camera))
            else:
                frames.append((facts, record))
        return Sorted(extent_of(batch), tuple(frames), tuple(endings), tuple(letters))

    def open(self, batch: Sorted, number: int) -> Opened:
        """Decode `batch`, the `number`-th of this worker; frames keep the order of the records."""
        endings, letters = list(batch.endings), list(batch.dead_letters)
        frames: list[OpenedFrame] = []
        # a record of `frames` that was read as a frame has a value
        jpegs = [record.value or b"" for _, record in batch.frames]
        pictures = map(self._picture, jpegs) if self._pool is None else self._pool.map(self._picture, jpegs)
        for (facts, record), picture in zip(batch.frames, pictures, strict=True):
            if isinstance(picture, FrameError):
                letters.append(self._letter(record, picture))
                endings.append(_refused(letters[-1]))
            else:
                frames.append(OpenedFrame(facts, picture))
        return Opened(batch.extent, number, tuple(frames), tuple(endings), tuple(letters))

    @property
    def untrusted_cameras(self) -> int:
        """Cameras whose capture time departs from the append time by more than the tolerance."""
        return self._clocks.untrusted

    def forget_clocks(self) -> None:
        """Count untrusted cameras anew, since it has changed whose frames are read here."""
        self._clocks.forget()

    def close(self) -> None:
        """Stop the decoding threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _facts(self, record: ConsumedRecord, frame: Frame) -> FrameFacts:
        trusted = self._clocks.observe(frame.camera, frame.capture_ns, record.append_ns)
        return FrameFacts(
            record.partition,
            record.offset,
            frame.camera,
            frame.camera_run,
            frame.sequence,
            frame.capture_ns,
            record.append_ns,
            trusted,
        )

    def _picture(self, jpeg: bytes) -> NDArray[np.uint8] | FrameError:
        try:
            return self._decode(jpeg)
        except FrameError as error:
            return error

    def _letter(self, record: ConsumedRecord, error: FrameError) -> DeadLetter:
        return DeadLetter(
            topic=self._topic,
            partition=record.partition,
            offset=record.offset,
            reason=error.reason,
            size=len(record.value or b""),
            camera=frame_wire.camera_of(record),
            append_ns=record.append_ns,
        )


def _refused(letter: DeadLetter) -> Ending:
    return Ending(letter.partition, letter.offset, Outcome.DEAD_LETTERED, letter.camera)
