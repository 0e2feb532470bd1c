"""Cameras that show the recording again and again, each time under other ids, and know where each frame lies."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from loadtest.faults_oracle import Shown
from loadtest.faults_recording import CAMERAS, FPS, FRAMES, Picture, Recording
from pipeline.catalog.topics import FRAMES as TOPIC
from pipeline.core.sharding import partition_of
from pipeline.errors import ClusterError
from pipeline.records import Frame
from pipeline.streams.client import Connection
from pipeline.streams.producer import FrameProducer
from pipeline.wire import frames as frame_wire

TICK_SECONDS: Final = 0.01
FLUSH_SECONDS: Final = 30.0
DISTRICT: Final = "faults"


class _Sent:
    """A frame on its way."""

    __slots__ = ("at_ns", "camera", "offset", "partition", "picture")

    def __init__(self, camera: str, partition: int, picture: Picture, at_ns: int) -> None:
        self.camera, self.partition, self.picture, self.at_ns = camera, partition, picture, at_ns
        self.offset: int | None = None


class _TellingProducer:
    """Keeps where the record whose delivery is just told was written, which a `FrameProducer` tells nobody."""

    def __init__(self, config: dict[str, Any], logger: Any) -> None:
        self._producer = Producer(config, logger=logger)
        self.latest: int | None = None
        self.poll, self.flush, self.purge = self._producer.poll, self._producer.flush, self._producer.purge

    def produce(
        self,
        topic: str,
        value: bytes,
        key: bytes,
        partition: int,
        *,
        on_delivery: Callable[[KafkaError | None, Message], None],
        headers: list[tuple[str, str | bytes | None]],
    ) -> None:
        """As confluent-kafka's, with what a `FrameProducer` gives it."""

        def told(error: KafkaError | None, message: Message) -> None:
            self.latest = message.offset() if error is None else None
            on_delivery(error, message)

        self._producer.produce(topic, value, key, partition, on_delivery=told, headers=headers)


class Feed:
    """Sends at the recording's pace in a thread of its own, from `play` to `pause`; the clocks can be stepped.

    The producer is the cameras' own, with its time-outs: a frame that is not acknowledged in time has failed.
    """

    def __init__(self, connection: Connection, recording: Recording, partitions: int) -> None:
        self._recording = recording
        self._partitions = partitions
        self._telling: list[_TellingProducer] = []
        self._producer = FrameProducer(connection, topic=TOPIC, open_producer=self._open)
        self._lock = threading.Lock()
        self._sent: list[_Sent] = []
        self._steps: dict[int, int] = {}
        self._showing = 0
        self._frame = 0
        self._due = 0.0
        self._playing = False
        self._error: BaseException | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed")

    def __enter__(self) -> "Feed":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._producer.close()

    def play(self) -> None:
        """Begin a showing, and forget what was sent before it."""
        with self._lock:
            self._sent, self._steps = [], {}
            self._showing += 1
            self._frame = 0
            self._due = time.monotonic()
            self._playing = True

    def step(self, camera: int, seconds: float) -> None:
        """Set a camera's clock on, or back if negative, until the next `play`."""
        with self._lock:
            self._steps[camera] = self._steps.get(camera, 0) + int(seconds * 1e9)

    def pause(self) -> None:
        """Send nothing more, and wait until every frame is acknowledged or has failed; raises what ended the feed."""
        with self._lock:
            self._playing = False
        deadline = time.monotonic() + FLUSH_SECONDS
        while self._producer.waiting:
            self.check()
            if time.monotonic() > deadline:
                raise ClusterError(f"{self._producer.waiting} frames are neither acknowledged nor failed")
            time.sleep(TICK_SECONDS)

    def check(self) -> None:
        """Raise what ended the feed, if something did."""
        if self._error is not None:
            raise self._error

    def first_after(self, at_ns: int) -> dict[int, int]:
        """By partition the offset of the first acknowledged frame that was sent after an instant."""
        first: dict[int, int] = {}
        with self._lock:
            for each in self._sent:
                if each.at_ns > at_ns and each.offset is not None:
                    first.setdefault(each.partition, each.offset)
        return first

    def shown(self) -> Sequence[Shown]:
        """What was sent since `play`."""
        with self._lock:
            return [Shown(s.camera, s.picture.scores, s.picture.faces, s.partition, s.offset) for s in self._sent]

    def _open(self, config: dict[str, Any], logger: Any) -> _TellingProducer:
        self._telling.append(_TellingProducer(config, logger))
        return self._telling[-1]

    def _run(self) -> None:
        try:
            while not self._ending.wait(TICK_SECONDS):
                with self._lock:
                    while self._playing and time.monotonic() >= self._due:
                        self._send()
                        self._due += 1.0 / (FPS * CAMERAS)
                    self._producer.serve()
        except BaseException as error:  # noqa: BLE001  # raised again by `check`: without a feed nothing is tested
            self._error = error

    def _send(self) -> None:
        index, number = divmod(self._frame, CAMERAS)
        now = time.time_ns()
        camera = f"{DISTRICT}/{self._showing:05d}-cam-{number}"
        picture = self._recording.cameras[number][index]
        sent = _Sent(camera, partition_of(number, self._partitions), picture, now)
        frame = Frame(camera, f"{DISTRICT}-{self._showing}", index, now + self._steps.get(number, 0), picture.jpeg)
        self._sent.append(sent)

        def note(there: bool) -> None:
            sent.offset = self._telling[0].latest if there else None

        self._producer.send(sent.partition, *frame_wire.encode(frame), on_delivery=note)
        self._frame += 1
        if self._frame == CAMERAS * FRAMES:
            self._frame = 0
            self._showing += 1
