"""The command as people start it: a process with a Kafka of its own, which a test may end as it likes."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pipeline.catalog.topics import CUSTODY, FRAMES
from pipeline.core.custody import Audit, Coverage
from pipeline.local.kafka import LocalKafka
from pipeline.records import Frame, OutgoingRecord, Receipt
from pipeline.runtime.settings import Kafka, Run, Settings
from pipeline.runtime.topics import create
from pipeline.streams.client import Connection
from pipeline.streams.offsets import LogEnds
from pipeline.streams.reader import TopicReader
from pipeline.streams.writer import RecordWriter
from pipeline.testing.pictures import jpeg
from pipeline.wire import frames as frame_wire
from pipeline.wire import receipts as receipt_wire

PARTITIONS = 4
START_SECONDS = 120.0
LEFT_SECONDS = 30.0
"""In which nothing may be left of a command that was killed."""


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def ray_folders() -> set[Path]:
    """The folders of local Rays that are there."""
    return set(Path("/tmp").glob("lp-ray-*"))


class Command:
    """A running ``lamppost``; its words go into files."""

    def __init__(self, arguments: tuple[str, ...], folder: Path, number: int) -> None:
        self._out, self._err = folder / f"out-{number}", folder / f"err-{number}"
        self._folders_before = ray_folders()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("LAMPPOST_", "RAY_"))}
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).with_name("lamppost")), *arguments],
                stdout=out,
                stderr=err,
                cwd=folder,
                env=environment | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            )
        self._pids = {self.process.pid}

    @property
    def out(self) -> str:
        """What it said on standard output so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it said on standard error so far."""
        return self._err.read_text()

    def wait_until(self, holds: Callable[[], object], what: str, seconds: float = START_SECONDS) -> None:
        """Wait for something that it is about to do; fails with its own words if it ends before."""
        deadline = time.monotonic() + seconds
        while not holds():
            self.note_processes()
            assert self.process.poll() is None, f"it ended before {what}: {self.err or self.out}"
            assert time.monotonic() < deadline, f"no {what} within {seconds} s: {self.err or self.out}"
            time.sleep(0.05)

    def note_processes(self) -> None:
        """Remember every process below it, for `left`."""
        with suppress(psutil.NoSuchProcess):
            self._pids |= {each.pid for each in psutil.Process(self.process.pid).children(recursive=True)}

    def signal(self, number: int) -> None:
        """Send it a signal, after a last look at what it has started."""
        self.note_processes()
        assert len(self._pids) > 3, "a command with a Ray of its own has many processes"
        self.process.send_signal(number)

    @property
    def left(self) -> list[object]:
        """Processes and folders of it that are still there."""
        pids = [pid for pid in self._pids if alive(pid)]
        return [*pids, *(ray_folders() - self._folders_before)]


class Site:
    """A Kafka with topics, a camera per partition, and the receipts of whoever works there."""

    def __init__(self, kafka: LocalKafka) -> None:
        self.kafka = kafka
        self._connection = Connection(kafka.address)
        create(Settings(kafka=Kafka(brokers=kafka.address), run=Run(partitions=PARTITIONS)))
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

    def audit(self) -> Audit:
        """All receipts, of whichever run, against everything that was published."""
        coverage = Coverage()
        for receipt in self.receipts():
            coverage.add(receipt.ranges)
        ends = LogEnds(self._connection, FRAMES)
        return coverage.audit({number: (0, end) for number, end in ends.now(ends.partitions()).items()})

    def close(self) -> None:
        """Free the producer."""
        self._writer.close()


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

    def start(*arguments: str) -> Command:
        started.append(Command((*arguments, "--settings", "block.toml"), tmp_path, len(started)))
        return started[-1]

    yield start
    for command in started:
        command.process.kill()
        command.process.wait()
