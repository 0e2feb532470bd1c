"""What is said of a connection to a protected Kafka: what is wrong with it, by setting, and never a password."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from secured_kafka import BOUND_SECONDS, Protected

from pipeline.catalog.roles import ADMINISTRATOR
from pipeline.catalog.topics import FRAMES
from pipeline.local.certificates import Authority
from pipeline.runtime.taps import CustodyAudit
from pipeline.streams.client import Connection
from pipeline.streams.groups import begin_at
from pipeline.streams.offsets import LogEnds
from pipeline.testing.pictures import jpeg

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]
Lamppost = Callable[..., tuple[int, str, str]]


def _changed(protected: Protected, file: Path, old: str, new: str) -> str:
    """The camera's settings with one thing wrong; the file's path."""
    text = Path(protected.file("camera")).read_text()
    assert re.search(old, text)
    file.write_text(re.sub(old, new, text))
    return str(file)


@pytest.mark.parametrize(
    ("old", "new", "code", "named"),
    [
        (r"camera\.password", "auditor.password", 4, "kafka.security.password_file"),
        ('username = "camera"', 'username = "nobody"', 4, "kafka.security.username"),
        ("SCRAM-SHA-512", "PLAIN", 4, "kafka.security.mechanism"),
        (r'"[^"]*ca\.pem"', '"{folder}/other.pem"', 4, "kafka.security.ca_file"),
        (r'"[^"]*ca\.pem"', '"{folder}/none.pem"', 2, "kafka.security.ca_file="),
        (r'"[^"]*ca\.pem"', '"{folder}/rubbish.pem"', 2, "kafka.security.ca_file"),
        (r'"[^"]*camera\.password"', '"{folder}/none"', 2, "kafka.security.password_file="),
        (r'"[^"]*camera\.password"', '"{folder}"', 2, "kafka.security.password_file="),
        (r'"[^"]*camera\.password"', '"{folder}/latin1"', 2, "kafka.security.password_file="),
        (r'"sasl_ssl"(\n.*){4}', '"plaintext"', 4, "kafka.security.protocol"),
        (r'"sasl_ssl"((\n.*){3})\nca_file.*', r'"sasl_plaintext"\1', 4, "kafka.security.protocol"),
        (r'"sasl_ssl"(\n.*){3}', '"ssl"', 4, "kafka.security.protocol"),
        ('"sasl_ssl"', '"plaintext"', 2, "would not be used with protocol plaintext"),
        (r"password_file = .*", "", 2, "kafka.security.password"),
    ],
)
def test_a_connection_that_cannot_work_is_one_line_that_names_the_setting(  # noqa: PLR0917 - fixtures and cases
    protected: Protected, lamppost: Lamppost, tmp_path: Path, old: str, new: str, code: int, named: str
) -> None:
    """In bounded time, with the exit code of docs/errors.md, and without the password."""
    (tmp_path / "other.pem").write_text(Authority().certificate)
    (tmp_path / "rubbish.pem").write_text("no certificate\n")
    (tmp_path / "latin1").write_bytes(b"\xe9\n")
    file = _changed(protected, tmp_path / "wrong.toml", old, new.format(folder=tmp_path))
    begun = time.monotonic()
    ended, out, err = lamppost("watchlist", "show", "--settings", file)
    assert time.monotonic() - begun < BOUND_SECONDS
    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert named in err
    assert not any(password in err for password in protected.protection.passwords.values())


def test_tls_to_a_plaintext_listener_names_the_protocol(
    kafka: Connection, protected: Protected, lamppost: Lamppost
) -> None:
    """The other way round."""
    code, _, err = lamppost("watchlist", "show", "--settings", protected.file("camera"), "--brokers", kafka.brokers)
    assert (code, err.count("\n")) == (4, 1)
    assert "kafka.security.protocol" in err


def test_a_password_file_that_another_user_owns_is_one_line(
    protected: Protected, lamppost: Lamppost, tmp_path: Path
) -> None:
    """It is there, and cannot be read."""
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    secret.chmod(0)
    if os.access(secret, os.R_OK):
        pytest.skip("root may read every file")
    file = _changed(protected, tmp_path / "wrong.toml", r'"[^"]*camera\.password"', f'"{secret}"')
    code, _, err = lamppost("watchlist", "show", "--settings", file)
    assert (code, err.count("\n"), f"kafka.security.password_file={secret}" in err) == (2, 1, True)


def test_the_password_is_in_nothing_that_is_shown(
    protected: Protected, lamppost: Lamppost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not in the settings, as a table or a file, nor in a traceback with what librdkafka logs; wherever it is from."""
    password = protected.protection.passwords["camera"]
    wrong = f"{password}-but-wrong"
    without = _changed(protected, tmp_path / "no-password.toml", r"password_file = .*", "")
    monkeypatch.setenv("LAMPPOST_KAFKA__SECURITY__PASSWORD", wrong)
    shown = lamppost("settings", "--settings", without)
    assert "kafka.security.password\t(secret)\tenvironment LAMPPOST_KAFKA__SECURITY__PASSWORD" in shown[1]
    said = [shown, lamppost("settings", "--toml", "--settings", without)]
    refused = lamppost("watchlist", "show", "--verbose", "--settings", without)
    assert (refused[0], "Traceback" in refused[2]) == (4, True)
    monkeypatch.setenv("LAMPPOST_KAFKA__SECURITY__PASSWORD", password)
    denied = lamppost("watchlist", "show", "--verbose", "--settings", without)
    assert (denied[0], "asking for watchlist failed" in denied[2]) == (4, True)
    monkeypatch.delenv("LAMPPOST_KAFKA__SECURITY__PASSWORD")
    said += [refused, denied, lamppost("settings", "--settings", protected.file("camera"))]
    assert not any(password in text for _, *texts in said for text in texts)
    assert password not in repr(protected.connection("camera"))
    assert password not in repr(protected.settings("camera"))


def command_lines(process: psutil.Process) -> str:
    """Those of a process and of everything below it."""
    return "\n".join(" ".join(each.cmdline()) for each in (process, *process.children(recursive=True)))


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """A command in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LAMPPOST_", "RAY_"))}
    out, err = (folder / f"{arguments[0]}.{name}" for name in ("out", "err"))
    return subprocess.Popen(
        [Path(sys.executable).with_name("lamppost"), *arguments],
        stdout=out.open("w"),
        stderr=err.open("w"),
        env=environment | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        text=True,
    )


def test_a_whole_run_works_by_roles_and_shows_no_password(
    protected: Protected, eventually: Eventually, tmp_path: Path
) -> None:
    """Cameras publish, workers account for every frame, an auditor proves it: each with its own credentials."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "1.jpg").write_bytes(jpeg())
    quick = tmp_path / "worker.toml"
    quick.write_text(Path(protected.file("worker")).read_text() + '\n[vision]\nprecision = "fp32"\n'
                     '\n[overload]\npolicy = "block"\n')  # fmt: skip
    # what other tests left there is no business of this run
    administrator = protected.connection(ADMINISTRATOR)
    ends = LogEnds(administrator, FRAMES)
    begin_at(administrator, "lamppost", FRAMES, ends.now(ends.partitions()))
    run = start(tmp_path, "run", "--settings", str(quick), "--workers", "1", "--shards", "1", "--verbose")
    try:
        told = tmp_path / "run.out"
        eventually(lambda: re.search(r"run (run-\S+) started", told.read_text()), "the run's greeting", 150)
        found = re.search(r"run (run-\S+) started", told.read_text())
        assert found
        audit = CustodyAudit(protected.connection("auditor"), found[1])
        cameras = start(
            tmp_path, "cameras", str(pictures), "--loop", "--fps", "5", "--seconds", "3",
            "--settings", protected.file("camera"), "--verbose",
        )  # fmt: skip
        lines = command_lines(psutil.Process(run.pid)) + command_lines(psutil.Process(cameras.pid))
        assert cameras.wait(120) == 0, (tmp_path / "cameras.err").read_text()
        assert "intended 15, sent 15, failed 0" in (tmp_path / "cameras.out").read_text()
        eventually(lambda: audit.missing() == 0, "an outcome for every frame", 150)
        lines += command_lines(psutil.Process(run.pid))
        assert audit.findings().problems == []
        audit.close()
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 0, (tmp_path / "run.err").read_text()
    finally:
        run.kill()
    said = "".join(file.read_text() for file in tmp_path.glob("*.*") if file.suffix in (".out", ".err"))
    for password in protected.protection.passwords.values():
        assert password not in lines
        assert password not in said


def test_nothing_of_a_protected_node_tells_a_password(protected: Protected) -> None:
    """Neither its command line and its guard's, nor what Kafka keeps of its users, in a folder of this user's alone."""
    node = protected.kafka.nodes[1]
    passwords = [password.encode() for password in protected.protection.passwords.values()]
    lines = command_lines(psutil.Process(node.guard_pid)).encode()
    assert not any(password in lines for password in passwords)
    assert stat.S_IMODE(node.folder.stat().st_mode) == 0o700
    settings = (node.folder / "server.properties").read_bytes()
    users = b"".join(file.read_bytes() for file in (node.data_folder / "__cluster_metadata-0").glob("*.log"))
    assert b"PRIVATE KEY" in settings
    assert b"enroller" in users
    assert not any(password in settings + users + node.log.read_bytes() for password in passwords)
