"""`lamppost kafka start`: a Kafka in the foreground that leaves nothing behind."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from confluent_kafka.admin import AdminClient

from pipeline.catalog.roles import ADMINISTRATOR, ROLES
from pipeline.errors import BrokerError
from pipeline.runtime.connections import connection_of
from pipeline.runtime.settings_sources import resolve
from pipeline.streams.client import Connection
from pipeline.streams.probe import probe

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]


@contextmanager
def started(folder: Path, port: int = 0, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """The command, with `folder` for its temporary files."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAMPPOST_")}
    command = Path(sys.executable).with_name("lamppost")
    with subprocess.Popen(
        [command, "kafka", "start", "--port", str(port), *options],
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


@pytest.fixture(autouse=True)
def heard_hangup() -> Iterator[None]:
    """Tests may run under nohup, which a command of theirs would inherit: it rightly ignores SIGHUP then."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
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


def test_three_nodes_are_named_and_the_loss_of_one_is_told(tmp_path: Path, eventually: Eventually) -> None:
    """Each with its process, so that it can be killed by hand; the others go on, and end as one node does."""
    with started(tmp_path, 0, "--nodes", "3") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        addresses = re.findall(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        nodes = [process.stdout.readline() for _ in range(3)]
        found = [re.match(r"node (\d): 127\.0\.0\.1:(\d+), process (\d+), log (\S+)$", line) for line in nodes]
        told = [each.groups() for each in found if each]
        assert [(number, port) for number, port, *_ in told] == list(zip("123", addresses, strict=True))
        assert all(Path(log).is_file() for *_, log in told)
        os.kill(int(told[1][2]), signal.SIGKILL)
        assert process.stderr.readline().startswith(f"node 2 at 127.0.0.1:{addresses[1]} ended, the others go on; ")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    for port in addresses:
        eventually(lambda port=port: refused(("127.0.0.1", int(port))), "the ports to be free")
    assert list(tmp_path.iterdir()) == []


def test_a_secured_one_writes_settings_for_each_role_and_takes_them_away(tmp_path: Path) -> None:
    """For this user alone; the passwords are nowhere else, and no client gets in without one."""
    temporary, keys = tmp_path / "tmp", tmp_path / "keys"
    temporary.mkdir()
    with started(temporary, 0, "--secured", str(keys)) as process:
        address = address_of(process)
        assert process.stdout is not None
        roles = [ADMINISTRATOR, *(role.name for role in ROLES)]
        node, *lines = [process.stdout.readline() for _ in range(1 + len(roles))]
        assert lines == [f"settings of {role}: {keys / role}.toml\n" for role in roles]
        assert {stat.S_IMODE(file.stat().st_mode) for file in keys.iterdir()} == {0o600}
        assert stat.S_IMODE(keys.stat().st_mode) == 0o700
        passwords = [(keys / f"{role}.password").read_text().strip() for role in roles]
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        assert not any(password in " ".join(each.cmdline()) for each in family for password in passwords)
        settings = resolve(file=keys / "camera.toml").settings
        assert settings.kafka.brokers == f"{address[0]}:{address[1]}"
        assert probe(connection_of(settings)).nodes == 1
        with pytest.raises(BrokerError, match=r"kafka\.security\.protocol"):
            probe(Connection(settings.kafka.brokers))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert not any(password in node + out for password in passwords)
    assert [*temporary.iterdir(), *tmp_path.glob("keys*")] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_neither_a_signal_while_it_starts_nor_one_while_it_ends_leaves_anything(
    number: signal.Signals, tmp_path: Path, eventually: Eventually
) -> None:
    """A terminal that is closed, and a service manager that repeats itself, among them."""
    temporary, keys = tmp_path / "tmp", tmp_path / "keys"
    temporary.mkdir()
    with started(temporary, 0, "--secured", str(keys)) as process:
        eventually(keys.exists, "the folder to be taken")
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert [*temporary.iterdir(), *tmp_path.glob("keys*")] == []
    with started(temporary, 0, "--secured", str(keys)) as process:
        address_of(process)
        process.send_signal(number)
        eventually(lambda: not keys.exists(), "the files to go before Kafka does")
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert list(temporary.iterdir()) == []


def test_a_number_of_nodes_without_a_use_is_one_clear_line(tmp_path: Path) -> None:
    """It names the option and the fix."""
    with started(tmp_path, 0, "--nodes", "2") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert "kafka.nodes=2 (option --nodes): should be 1 or 3" in err


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
