"""The command as people start it: a process with a Kafka of its own, which a test may end as it likes."""

import os
import re
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

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

MARK = "TEST_MARK"
"""Variable that everything which a command starts inherits from it."""
RAY_FOLDER = re.compile(r"/tmp/lp-ray-\w+")
PARTITIONS = 4
START_SECONDS = 120.0
LEFT_SECONDS = 30.0
"""In which nothing may be left of a command that was killed."""


class Command:
    """A running ``lamppost``; its words go into files, its temporary files into a folder of their own.

    What it starts is known by a variable that all of it inherits, so that nothing else on the machine is taken for it.
    """

    def __init__(self, arguments: tuple[str, ...], folder: Path, number: int, program: Path | None = None) -> None:
        """`program` is a Python script to run in place of ``lamppost``."""
        self._out, self._err = folder / f"out-{number}", folder / f"err-{number}"
        self._mark = uuid.uuid4().hex
        self._temporary = folder / f"tmp-{number}"
        self._temporary.mkdir()
        self._ray_folders: set[Path] = set()
        lamppost = [str(Path(sys.executable).with_name("lamppost"))]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("LAMPPOST_", "RAY_"))}
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*(lamppost if program is None else [sys.executable, str(program)]), *arguments],
                stdout=out,
                stderr=err,
                cwd=folder,
                env=environment
                | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "TMPDIR": str(self._temporary), MARK: self._mark},
                start_new_session=True,
            )

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
            assert self.process.poll() is None, f"it ended before {what}: {self.err or self.out}"
            assert time.monotonic() < deadline, f"no {what} within {seconds} s: {self.err or self.out}"
            time.sleep(0.05)
        self._note_ray()

    @property
    def processes(self) -> list[psutil.Process]:
        """It and everything that it has started, as far as they are there."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def signal(self, number: int, group: bool = False) -> None:
        """Send it a signal, or with `group` to its whole group, as a terminal does."""
        assert len(self.processes) > 3, "a command with a Ray of its own has many processes"
        assert self._ray_folders
        (os.killpg if group else os.kill)(self.process.pid, number)

    def _note_ray(self) -> None:
        """Remember the folders of its Ray, which lie elsewhere, for `left`."""
        for process in self.processes:
            with suppress(psutil.Error):
                self._ray_folders |= {Path(name) for name in RAY_FOLDER.findall(" ".join(process.cmdline()))}

    @property
    def left(self) -> list[object]:
        """Processes and files of it that are still there."""
        folders = [folder for folder in self._ray_folders if folder.exists()]
        return [*self.processes, *folders, *self._temporary.iterdir()]


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
