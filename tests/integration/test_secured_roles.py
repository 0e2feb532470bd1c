"""TLS, passwords and ACLs against a real Kafka: each role does its work with its credentials, and nothing else."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs' gap
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from secured_kafka import ANSWER_SECONDS, BOUND_SECONDS, Protected

from pipeline.catalog.roles import ADMINISTRATOR, ROLES, Kind, Operation
from pipeline.catalog.topics import ALERTS, CUSTODY, DEAD_LETTERS, FRAMES, TOPICS, WATCHLIST
from pipeline.errors import BrokerError
from pipeline.records import OutgoingRecord
from pipeline.runtime.cameras import partitions_of_frames
from pipeline.runtime.shard_factory import Heartbeat
from pipeline.runtime.taps import AlertTap, CustodyAudit
from pipeline.runtime.topics import require_topics
from pipeline.streams.acls import Acl, AclAdmin
from pipeline.streams.client import LOGGER, Connection
from pipeline.streams.deletion import broker_advice
from pipeline.streams.outbox import KafkaOutbox
from pipeline.streams.producer import FrameProducer
from pipeline.streams.reader import TopicReader
from pipeline.streams.topics import TopicAdmin
from pipeline.streams.writer import RecordWriter
from pipeline.testing.pictures import jpeg

pytestmark = pytest.mark.integration

Lamppost = Callable[..., tuple[int, str, str]]

ALLOWED = {
    "camera": {FRAMES: "w"},
    "worker": {FRAMES: "r", WATCHLIST: "rw", ALERTS: "rw", CUSTODY: "w", DEAD_LETTERS: "w"},
    "enroller": {WATCHLIST: "rw"},
    "console": {ALERTS: "r", CUSTODY: "r", DEAD_LETTERS: "r"},
    "auditor": {CUSTODY: "r", DEAD_LETTERS: "r"},
}
"""What each role may do with records, and nothing else; said once more, not taken from the catalogue."""


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
