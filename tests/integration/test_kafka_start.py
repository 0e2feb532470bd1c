"""`lamppost kafka start`: a Kafka in the foreground that leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]


@contextmanager
def started(folder: Path, port: int = 0) -> Iterator["subprocess.Popen[str]"]:
    """The command, with `folder` for its temporary files."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAMPPOST_")}
    command = Path(sys.executable).with_name("lamppost")
    with subprocess.Popen(
        [command, "kafka", "start", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | {"TMPDIR": str(folder)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def address_of(process: "subprocess.Popen[str]") -> tuple[str, int]:
    """Host and port that it prints once Kafka answers."""
    assert process.stdout is not None
    found = re.search(r"answers at ([\d.]+):(\d+)", process.stdout.readline())
    assert found
    return found[1], int(found[2])


def refused(address: tuple[str, int]) -> bool:
    """Whether nobody listens at `address`."""
    with socket.socket() as caller:
        return caller.connect_ex(address) != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_told_to_end_and_leaves_nothing(
    number: signal.Signals, tmp_path: Path, eventually: Eventually
) -> None:
    """The address that it prints answers; then process, port and files are gone, and the code is 0."""
    with started(tmp_path) as process:
        address = address_of(process)
        assert AdminClient({"bootstrap.servers": f"{address[0]}:{address[1]}"}).list_topics(timeout=10).brokers
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    eventually(lambda: refused(address), "the port to be free")
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    """It names the port, and nothing is left."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with started(tmp_path, port) as process:
            out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (6, "", 1)
    assert str(port) in err
    assert list(tmp_path.iterdir()) == []
