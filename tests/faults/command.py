"""``lamppost`` as people start it, with a Ray of its own, which a test may end as it likes."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

MARK = "TEST_MARK"
"""Variable that everything which a command starts inherits from it."""
RAY_FOLDER = re.compile(r"/tmp/lp-ray-\w+")
START_SECONDS = 120.0
LEFT_SECONDS = 30.0
"""In which nothing may be left of a command that was killed."""


def listens(address: tuple[str, int]) -> bool:
    """Whether somebody takes connections there."""
    with suppress(OSError), socket.create_connection(address, timeout=1.0):
        return True
    return False


class Command:
    """A running ``lamppost``; its words go into files, its temporary files into a folder of their own.

    What it starts is known by a variable that all of it inherits, so that nothing else on the machine is taken for it.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, number: int, program: Path | None = None) -> None:
        """The `number`-th of a folder; `arguments` follow ``lamppost``, or `program`, a Python script in its place."""
        self._out, self._err = folder / f"out-{number}", folder / f"err-{number}"
        self._mark = uuid.uuid4().hex
        self._temporary = folder / f"tmp-{number}"
        self._temporary.mkdir()
        self._ray_folders: set[Path] = set()
        self._ports: set[tuple[str, int]] = set()
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
        assert self._ray_folders, "Ray's sockets do not fit below TMPDIR, so its folder lies elsewhere"
        self._note_ports()
        assert len(self._ports) > 3, "Ray, the metrics of each actor, and service discovery"
        (os.killpg if group else os.kill)(self.process.pid, number)

    def _note_ray(self) -> None:
        """Remember the folders of its Ray, which lie elsewhere, for `left`."""
        for process in self.processes:
            with suppress(psutil.Error):
                self._ray_folders |= {Path(name) for name in RAY_FOLDER.findall(" ".join(process.cmdline()))}

    def _note_ports(self) -> None:
        """Remember where it and what it has started listen, for `left`."""
        for process in self.processes:
            with suppress(psutil.Error):
                listening = [each for each in process.net_connections() if each.status == psutil.CONN_LISTEN]
                self._ports |= {(each.laddr.ip, each.laddr.port) for each in listening}

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
        folders = [folder for folder in self._ray_folders if folder.exists()]
        return [*self.processes, *filter(listens, self._ports), *folders, *self._temporary.iterdir()]


def _read(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return str(answer.read().decode())
