"""TLS, passwords and ACLs against a real Kafka: each role does its work with its credentials, and nothing else."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs' gap
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from pipeline.catalog.roles import ADMINISTRATOR, ROLES, Kind, Operation
from pipeline.catalog.topics import ALERTS, CUSTODY, DEAD_LETTERS, FRAMES, TOPICS, WATCHLIST
from pipeline.cli import main
from pipeline.errors import BrokerError
from pipeline.local.certificates import Authority
from pipeline.local.kafka import LocalKafka
from pipeline.local.protection import Protection
from pipeline.records import OutgoingRecord
from pipeline.runtime.acls import Allowance
from pipeline.runtime.acls import create as create_acls
from pipeline.runtime.cameras import partitions_of_frames
from pipeline.runtime.connections import connection_of
from pipeline.runtime.role_files import RoleFiles
from pipeline.runtime.settings import Settings
from pipeline.runtime.settings_sources import resolve
from pipeline.runtime.shard_factory import Heartbeat
from pipeline.runtime.taps import AlertTap, CustodyAudit
from pipeline.runtime.topics import create as create_topics
from pipeline.runtime.topics import require_topics
from pipeline.streams.acls import Acl, AclAdmin
from pipeline.streams.client import LOGGER, Connection
from pipeline.streams.deletion import broker_advice
from pipeline.streams.groups import begin_at
from pipeline.streams.offsets import LogEnds
from pipeline.streams.outbox import KafkaOutbox
from pipeline.streams.producer import FrameProducer
from pipeline.streams.reader import TopicReader
from pipeline.streams.topics import TopicAdmin
from pipeline.streams.writer import RecordWriter
from pipeline.testing.pictures import jpeg

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]
Lamppost = Callable[..., tuple[int, str, str]]
ANSWER_SECONDS = 20.0
BOUND_SECONDS = 30.0
"""In which a connection that cannot work has ended with its line, on a busy machine."""
ALLOWED = {
    "camera": {FRAMES: "w"},
    "worker": {FRAMES: "r", WATCHLIST: "rw", ALERTS: "rw", CUSTODY: "w", DEAD_LETTERS: "w"},
    "enroller": {WATCHLIST: "rw"},
    "console": {ALERTS: "r", CUSTODY: "r", DEAD_LETTERS: "r"},
    "auditor": {CUSTODY: "r", DEAD_LETTERS: "r"},
}
"""What each role may do with records, and nothing else; said once more, not taken from the catalogue."""


@dataclass(frozen=True)
class Protected:
    """A protected Kafka with its topics and ACLs, and a settings file for each role."""

    kafka: LocalKafka
    protection: Protection
    folder: Path
    first: list[Allowance]
    """What making the ACLs for the first time said."""

    def file(self, role: str) -> str:
        return str(self.folder / f"{role}.toml")

    def settings(self, role: str) -> Settings:
        return resolve(file=self.folder / f"{role}.toml").settings

    def connection(self, role: str) -> Connection:
        return connection_of(self.settings(role))

    def client(self, role: str, **more: Any) -> dict[str, Any]:
        """Properties for a client of confluent-kafka's own, without anything of Lamppost between."""
        return {"bootstrap.servers": self.kafka.address, **self.protection.client_properties(role), **more}


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    """One for the whole file."""
    protection = Protection(ADMINISTRATOR, [role.name for role in ROLES])
    folder = tmp_path_factory.mktemp("keys")
    with RoleFiles(folder, protection) as files, LocalKafka(protection=protection) as kafka:
        files.write(kafka.address)
        administrator = resolve(file=folder / f"{ADMINISTRATOR}.toml").settings
        first = create_acls(administrator)
        create_topics(administrator)
        made = Protected(kafka, protection, folder, first)
        yield made


@pytest.fixture
def lamppost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lamppost:
    """Runs a command: exit code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lamppost", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        seen = capsys.readouterr()
        return int(ended.value.code or 0), seen.out, seen.err

    for name in [name for name in os.environ if name.startswith("LAMPPOST_")]:
        monkeypatch.delenv(name)
    return call


def reading(protected: Protected, role: str, topic: str) -> int | None:
    """The error code that Kafka answers a reader of the topic with; None if it gives the record that is there."""
    consumer = Consumer(protected.client(role, **{"group.id": "lamppost-reader"}), logger=LOGGER)
    until = time.monotonic() + ANSWER_SECONDS
    try:
        # a client that may not even see the topic would wait for its leader
        unseen: KafkaError | None = consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].error
        if unseen is not None:
            return unseen.code()
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        while time.monotonic() < until:
            message = consumer.poll(0.1)
            if message is None:
                continue
            error = message.error()
            if error is None:
                return None
            if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                return KafkaError.TOPIC_AUTHORIZATION_FAILED
        pytest.fail(f"Kafka neither gave {role} a record of {topic} nor refused")
    finally:
        consumer.close()


def writing(protected: Protected, role: str, topic: str) -> int | None:
    """The error code that Kafka answers a record for the topic with; None if it takes it."""
    producer = Producer(protected.client(role, **{"message.timeout.ms": int(ANSWER_SECONDS * 1000)}), logger=LOGGER)
    told: list[KafkaError | None] = []
    producer.produce(topic, b"v", b"k", 0, on_delivery=lambda error, _: told.append(error))
    assert producer.flush(ANSWER_SECONDS + 5) == 0
    return None if told[0] is None else told[0].code()


@pytest.mark.parametrize("role", [role.name for role in ROLES])
def test_a_role_reads_and_writes_its_topics_and_no_other(protected: Protected, role: str) -> None:
    """Asked of Kafka with plain clients, which stop at nothing but what it refuses."""
    writer = RecordWriter(protected.connection(ADMINISTRATOR))
    writer.write([OutgoingRecord(topic.name, b"k", b"v", (), 0) for topic in TOPICS])
    writer.close()
    refused = KafkaError.TOPIC_AUTHORIZATION_FAILED
    for topic in (each.name for each in TOPICS):
        may = ALLOWED[role].get(topic, "")
        assert (topic, reading(protected, role, topic)) == (topic, None if "r" in may else refused)
        assert (topic, writing(protected, role, topic)) == (topic, None if "w" in may else refused)


def test_a_camera_cannot_read_frames_or_alerts_with_lampposts_own_reader(protected: Protected) -> None:
    """The line says what to do; the first is a topic that it sees, the second one that it does not."""
    for topic in (FRAMES, ALERTS):
        with pytest.raises(BrokerError, match="no ACL allows this user it; `lamppost topics create --acls`"):
            reader = TopicReader(protected.connection("camera"), topic)
            reader.poll(ANSWER_SECONDS)


def test_a_camera_publishes_with_its_producer(protected: Protected) -> None:
    """Idempotence needs no right of its own."""
    producer = FrameProducer(protected.connection("camera"), topic=FRAMES, delivery_timeout=ANSWER_SECONDS)
    assert producer.send(0, b"camera", b"frame", [])
    assert producer.flush(ANSWER_SECONDS) == 0
    assert (producer.sent, producer.failed) == (1, 0)
    producer.close()


@pytest.mark.parametrize("role", ["worker", "console"])
def test_cameras_that_may_not_publish_end_with_the_reason(
    protected: Protected, lamppost: Lamppost, tmp_path: Path, role: str
) -> None:
    """They see the topic, one may write to others, and none of their frames arrives."""
    (tmp_path / "1.jpg").write_bytes(jpeg())
    begun = time.monotonic()
    code, _, err = lamppost("cameras", str(tmp_path), "--loop", "--seconds", "60", "--settings", protected.file(role))
    assert time.monotonic() - begun < BOUND_SECONDS
    assert code == 4, err
    assert "authorization failed" in err


def test_a_camera_is_told_the_partitions_and_an_enroller_that_it_may_not_see_them(protected: Protected) -> None:
    """Of all that Kafka knows of the topic this is what a camera needs."""
    assert partitions_of_frames(protected.connection("camera")) == 4
    with pytest.raises(BrokerError, match="has no topic frames that this user may see"):
        partitions_of_frames(protected.connection("enroller"))


def test_a_worker_commits_for_runs_of_its_names_alone(protected: Protected) -> None:
    """A run of another name, of other people perhaps, is not fenced by mistake."""
    connection = protected.connection("worker")
    outbox = KafkaOutbox(connection, topic=FRAMES, transactional_id="run-1.worker-0")
    outbox.commit([OutgoingRecord(topic, b"k", b"v", (), 0) for topic in (ALERTS, CUSTODY, DEAD_LETTERS)], {}, None)
    outbox.close()
    with pytest.raises(BrokerError, match="TRANSACTIONAL_ID_AUTHORIZATION_FAILED"):
        KafkaOutbox(connection, topic=FRAMES, transactional_id="north.worker-0")


def test_a_supervisor_writes_the_heartbeat_and_a_run_looks_at_the_topics(protected: Protected) -> None:
    """Both with the worker's credentials."""
    Heartbeat(protected.settings("worker"))()
    assert require_topics(protected.connection("worker")) == 4


def test_an_auditor_sees_settings_and_no_record_of_anybody(protected: Protected, lamppost: Lamppost) -> None:
    """The command says whether frames are really deleted; that takes neither a frame nor a template."""
    code, out, err = lamppost("topics", "show", "--settings", protected.file("auditor"))
    assert (code, err) == (0, "")
    assert [line.split("\t")[:2] for line in out.splitlines()[1:]] == [[topic.name, "ok"] for topic in TOPICS]
    (settings,) = TopicAdmin(protected.connection("auditor")).broker_settings().values()
    assert not isinstance(settings, BrokerError)
    assert broker_advice(settings) == []


def test_an_operators_view_has_the_alerts_and_the_account_of_the_frames(protected: Protected) -> None:
    """With what a demo reads them with."""
    connection = protected.connection("console")
    assert AlertTap(connection, "run").finish(ANSWER_SECONDS) == []
    audit = CustodyAudit(connection, "run")
    assert (audit.missing(), audit.findings(ANSWER_SECONDS).problems) == (0, [])
    audit.close()


def test_whoever_enrols_loads_and_shows_the_watchlist_and_a_camera_does_not(
    protected: Protected, lamppost: Lamppost, tmp_path: Path
) -> None:
    """A refusal is one line with the broker's exit code."""
    np.savez(tmp_path / "p.npz", ids=np.array(["a"]), templates=np.eye(1, 128, dtype=np.float32))
    load = ("watchlist", "load", str(tmp_path / "p.npz"), "--settings")
    assert lamppost(*load, protected.file("enroller"))[:2] == (0, "1 entry loaded\n")
    code, out, _ = lamppost("watchlist", "show", "--settings", protected.file("enroller"))
    assert (code, "a\tdefault" in out) == (0, True)
    code, out, err = lamppost(*load, protected.file("camera"))
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert "asking for watchlist failed" in err


def test_acls_are_made_once_and_are_what_the_catalogue_says(protected: Protected, lamppost: Lamppost) -> None:
    """The second time every line says that it was there, and nobody may do anything else."""
    assert all(allowance.made for allowance in protected.first)
    code, out, err = lamppost("topics", "create", "--acls", "--settings", protected.file(ADMINISTRATOR))
    assert (code, err) == (0, "")
    said = [f"{role}: {acl}: was there" for role, acl, _ in protected.first]
    assert out.splitlines() == [*said, *(f"{topic.name} was there" for topic in TOPICS)]
    assert set(AclAdmin(protected.connection(ADMINISTRATOR)).allowed()) == {acl for _, acl, _ in protected.first}


def test_a_right_beyond_the_roles_is_named_and_is_no_success(protected: Protected, lamppost: Lamppost) -> None:
    """Whoever gave it, and to everybody too."""
    admin = AclAdmin(protected.connection(ADMINISTRATOR))
    more = [
        Acl("User:camera", Kind.TOPIC, FRAMES, Operation.READ),
        Acl("User:*", Kind.TOPIC, "al", Operation.READ, prefixed=True),
    ]
    admin.allow(more)
    code, _, err = lamppost("topics", "create", "--acls", "--settings", protected.file(ADMINISTRATOR))
    assert (code, err.count("\n")) == (1, 1)
    assert all(str(acl) in err for acl in more)
    kafka = AdminClient(protected.client(ADMINISTRATOR), logger=LOGGER)
    for acl in more:
        pattern = ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL
        wanted = AclBindingFilter(
            ResourceType.TOPIC, acl.name, pattern, acl.principal, "*", AclOperation.READ, AclPermissionType.ALLOW
        )
        for removed in kafka.delete_acls([wanted]).values():
            assert len(removed.result()) == 1


def test_other_principals_get_the_rights_of_a_role(protected: Protected, lamppost: Lamppost) -> None:
    """Named by an option, several for one role; groups and runs by how they begin. Who had the role before is told."""
    wanted = ("--acl-principal", "camera=User:cam-1", "--acl-principal", "camera=User:cam-2", "--acl-prefix", "city-")
    code, out, err = lamppost("topics", "create", "--acls", *wanted, "--settings", protected.file(ADMINISTRATOR))
    assert (code, "allowed beyond the roles: User:camera may write topic frames. Kafka's" in err) == (1, True)
    lines = out.splitlines()
    assert lines[:2] == [f"camera: User:cam-{number} may write topic frames: made" for number in (1, 2)]
    assert "worker: User:worker may read group city-…: made" in lines
    assert "worker: User:worker may write transactional id city-…: made" in lines


def test_a_kafka_without_an_authorizer_is_one_line_and_gets_no_topic(kafka: Connection, lamppost: Lamppost) -> None:
    """ACLs that bind nobody would look like protection."""
    before = set(AdminClient({"bootstrap.servers": kafka.brokers}).list_topics(timeout=10).topics)
    code, out, err = lamppost("topics", "create", "--acls", "--brokers", kafka.brokers)
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert f"Kafka at {kafka.brokers} has no authorizer" in err
    assert set(AdminClient({"bootstrap.servers": kafka.brokers}).list_topics(timeout=10).topics) == before


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


def test_three_protected_nodes_serve_a_role_through_the_loss_of_one(eventually: Eventually) -> None:
    """The nodes authenticate each other; users and ACLs are on all of them, and on one that comes back."""
    protection = Protection(ADMINISTRATOR, ["camera"])
    with LocalKafka(nodes=3, protection=protection) as kafka:
        administrator = Connection(kafka.address, protection.client_properties(ADMINISTRATOR))
        AclAdmin(administrator).allow([Acl("User:camera", Kind.TOPIC, FRAMES, Operation.WRITE)])
        TopicAdmin(administrator).create([topic for topic in TOPICS if topic.name == FRAMES], partitions=1)
        camera = protection.client_properties("camera")
        producer = FrameProducer(Connection(kafka.address, camera), topic=FRAMES, delivery_timeout=ANSWER_SECONDS)
        leader = kafka.leader_of(FRAMES, 0)
        assert leader is not None
        for moment in (b"before", b"without it"):
            assert producer.send(0, b"camera", moment, [])
            assert producer.flush(ANSWER_SECONDS) == 0
            if kafka.nodes[leader].alive():
                kafka.kill(leader)
        assert (producer.sent, producer.failed) == (2, 0)
        producer.close()
        kafka.restart(leader)
        alone = {"bootstrap.servers": kafka.nodes[leader].address, **camera}
        eventually(lambda: sees_frames(alone), "the node that was started again", 2 * ANSWER_SECONDS)


def sees_frames(properties: dict[str, str]) -> bool:
    """Whether a client with these properties is let in and allowed to see the topic."""
    try:
        return FRAMES in AdminClient(dict(properties), logger=LOGGER).list_topics(timeout=2.0).topics
    except KafkaException:
        return False


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
