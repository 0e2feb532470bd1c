"""The command as people start it: a process with a Kafka of its own, which a test may end as it likes."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from pipeline.catalog import metrics
from pipeline.catalog.topics import CUSTODY, FRAMES
from pipeline.core.custody import Audit, Coverage
from pipeline.local.kafka import LocalKafka
from pipeline.records import Frame, OutgoingRecord, Receipt
from pipeline.runtime.settings import Kafka, Run, Settings
from pipeline.runtime.topics import create
from pipeline.streams.client import LOGGER, Connection
from pipeline.streams.offsets import LogEnds
from pipeline.streams.reader import TopicReader
from pipeline.streams.writer import RecordWriter
from pipeline.testing.pictures import jpeg
from pipeline.wire import frames as frame_wire
from pipeline.wire import receipts as receipt_wire

PARTITIONS = 4
GROUP = "lamppost"
"""The group that commands join if they are told no other."""
START_SECONDS = 120.0
LEFT_SECONDS = 30.0
"""In which nothing may be left of a command that was killed."""


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def listens(address: tuple[str, int]) -> bool:
    """Whether somebody takes connections there."""
    with suppress(OSError), socket.create_connection(address, timeout=1.0):
        return True
    return False


class Command:
    """A running ``lamppost``; its words go into files."""

    def __init__(self, arguments: tuple[str, ...], folder: Path, number: int) -> None:
        self._out, self._err = folder / f"out-{number}", folder / f"err-{number}"
        self._temporary = folder / f"tmp-{number}"
        self._temporary.mkdir()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("LAMPPOST_", "RAY_"))}
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).with_name("lamppost")), *arguments],
                stdout=out,
                stderr=err,
                cwd=folder,
                env=environment | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "TMPDIR": str(self._temporary)},
            )
        self._pids = {self.process.pid}
        self._ports: set[tuple[str, int]] = set()
        self._folders: set[Path] = set()

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
        self._note_ports_and_folders()
        assert len(self._ports) > 3, "Ray, the metrics of each actor, and service discovery"
        assert self._folders, "Ray's sockets do not fit below TMPDIR, so its folder lies elsewhere"
        self.process.send_signal(number)

    def metrics(self, role: str) -> list[Metric]:
        """What Prometheus would read from every process of that role: empty until there is one."""
        (where,) = re.findall(r"metrics are listed at (\S+)", self.out)
        groups = json.loads(_read(where))
        targets = [target for group in groups if group["labels"]["role"] == role for target in group["targets"]]
        return [
            each for target in targets for each in text_string_to_metric_families(_read(f"http://{target}/metrics"))
        ]

    @property
    def left(self) -> list[object]:
        """Processes, open ports, folders and temporary files of it that are still there."""
        pids = [pid for pid in self._pids if alive(pid)]
        folders = [folder for folder in self._folders if folder.exists()]
        return [*pids, *filter(listens, self._ports), *folders, *self._temporary.iterdir()]

    def _note_ports_and_folders(self) -> None:
        for pid in self._pids:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                listening = [each for each in process.net_connections() if each.status == psutil.CONN_LISTEN]
                self._ports |= {(each.laddr.ip, each.laddr.port) for each in listening}
                self._folders |= set(map(Path, re.findall(r"/tmp/lp-ray-\w+", " ".join(process.cmdline()))))


def _read(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return str(answer.read().decode())


class Site:
    """A Kafka with topics, a camera per partition, and the receipts of whoever works there."""

    def __init__(self, kafka: LocalKafka) -> None:
        self.kafka = kafka
        self._connection = Connection(kafka.address)
        create(Settings(kafka=Kafka(brokers=kafka.address), run=Run(partitions=PARTITIONS)))
        self._admin = AdminClient({"bootstrap.servers": kafka.address}, logger=LOGGER)
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
        asked = ConsumerGroupTopicPartitions(GROUP, [TopicPartition(FRAMES, number) for number in range(PARTITIONS)])
        (answer,) = self._admin.list_consumer_group_offsets([asked]).values()
        return {each.partition: max(0, each.offset) for each in answer.result(10.0).topic_partitions}

    def consumed(self, command: Command) -> dict[int, int]:
        """How far the only worker of a command has read each partition, as its metrics say; nothing until it does.

        All frames were published before it began, so that it knows where the partitions end.
        """
        lags = [s for each in command.metrics("worker") if each.name == metrics.LAG.name for s in each.samples]
        ends = self.ends()
        return {int(lag.labels["partition"]): ends[int(lag.labels["partition"])] - int(lag.value) for lag in lags}

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
