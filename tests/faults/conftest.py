"""A Kafka with topics, and commands that a test may end as it likes."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from command import Command

from pipeline.catalog import metrics
from pipeline.catalog.topics import CUSTODY, FRAMES
from pipeline.core.custody import Audit, Coverage
from pipeline.local.kafka import LocalKafka
from pipeline.records import Frame, OutgoingRecord, Receipt
from pipeline.runtime.settings import Kafka, Run, Settings
from pipeline.runtime.topics import create
from pipeline.streams.client import Connection
from pipeline.streams.commits import GroupCommits
from pipeline.streams.offsets import LogEnds
from pipeline.streams.reader import TopicReader
from pipeline.streams.writer import RecordWriter
from pipeline.testing.pictures import jpeg
from pipeline.wire import frames as frame_wire
from pipeline.wire import receipts as receipt_wire

PARTITIONS = 4
GROUP = "lamppost"
"""The group that commands join if they are told no other."""


class Site:
    """A Kafka with topics, a camera per partition, and the receipts of whoever works there."""

    def __init__(self, kafka: LocalKafka) -> None:
        self.kafka = kafka
        self._connection = Connection(kafka.address)
        create(Settings(kafka=Kafka(brokers=kafka.address), run=Run(partitions=PARTITIONS)))
        self._commits = GroupCommits(self._connection, topic=FRAMES, group=GROUP)
        self._writer = RecordWriter(self._connection)
        self._sequences: Counter[int] = Counter()

    def send(self, frames: int) -> None:
        """Publish that many frames of every camera."""
        records = []
        for camera in range(PARTITIONS):
            for _ in range(frames):
                frame = Frame(f"cam/{camera}", "r", self._sequences[camera], time.time_ns(), jpeg())
                self._sequences[camera] += 1
                key, value, headers = frame_wire.encode(frame)
                records.append(OutgoingRecord(FRAMES, key, value, headers, camera))
        self._writer.write(records)

    def send_if_settled(self, frames: int) -> None:
        """Publish more once everything is accounted for, so that no backlog outgrows a slow machine."""
        if not self.audit().gaps:
            self.send(frames)

    def receipts(self) -> list[Receipt]:
        """Every committed receipt."""
        reader = TopicReader(self._connection, CUSTODY)
        try:
            return [receipt_wire.decode(r.key, r.value, r.headers) for r in reader.read_to(reader.ends(), 30.0)]
        finally:
            reader.close()

    def audit(self, ends: Mapping[int, int] | None = None) -> Audit:
        """All receipts, of whichever run, against everything that was published, or what lies before `ends`."""
        coverage = Coverage()
        for receipt in self.receipts():
            coverage.add(receipt.ranges)
        return coverage.audit({number: (0, end) for number, end in (ends or self.ends()).items()})

    def ends(self) -> Mapping[int, int]:
        """Where each partition of ``frames`` ends."""
        ends = LogEnds(self._connection, FRAMES)
        return ends.now(ends.partitions())

    def committed(self) -> dict[int, int]:
        """The offset of each partition that the group would go on from."""
        return dict.fromkeys(range(PARTITIONS), 0) | self._commits.offsets(range(PARTITIONS))

    def consumed(self, command: Command) -> dict[int, int]:
        """How far the only worker of a command has read each partition, as its metrics say; nothing until it does.

        All frames were published before it began, so that it knows where the partitions end.
        """
        lags = [s for each in command.metrics("worker") if each.name == metrics.LAG.name for s in each.samples]
        ends = self.ends()
        return {int(lag.labels["partition"]): ends[int(lag.labels["partition"])] - int(lag.value) for lag in lags}

    def close(self) -> None:
        """Free the clients."""
        self._writer.close()
        self._commits.close()


@pytest.fixture
def site() -> Iterator[Site]:
    """A Kafka of the test's own, with topics and nothing on them."""
    with LocalKafka() as kafka:
        made = Site(kafka)
        yield made
        made.close()


@pytest.fixture
def lamppost(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Starts commands in a folder with settings that shed nothing; what a test leaves running is killed."""
    started: list[Command] = []
    (tmp_path / "block.toml").write_text('[overload]\npolicy = "block"\n')

    def start(*arguments: str, program: Path | None = None) -> Command:
        started.append(Command((*arguments, "--settings", "block.toml"), tmp_path, len(started), program))
        return started[-1]

    yield start
    for command in started:
        command.process.kill()
        command.process.wait()
