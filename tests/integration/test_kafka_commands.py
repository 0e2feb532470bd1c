"""The commands about topics and the watchlist, and the doctor, against a real Kafka."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from pipeline.catalog.topics import TOPICS, WATCHLIST
from pipeline.runtime import doctor
from pipeline.runtime.cameras import synthetic_cameras
from pipeline.runtime.doctor_checks import Finding, Status
from pipeline.runtime.settings import Cameras
from pipeline.streams.client import LOGGER, Connection
from pipeline.streams.reader import TopicReader
from pipeline.synthetic.seeds import entry_id
from pipeline.wire.watchlist import HEARTBEAT_KEY

pytestmark = pytest.mark.integration

Lamppost = Callable[..., tuple[int, str, str]]
D = 128


@pytest.fixture
def lamppost(lamppost: Lamppost, kafka: Connection) -> Iterator[Lamppost]:
    """As elsewhere, but against a Kafka without topics, which are gone afterwards."""
    _delete_topics(kafka)
    yield lambda *arguments: lamppost(*arguments, "--brokers", kafka.brokers)
    _delete_topics(kafka)


def _delete_topics(kafka: Connection) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.brokers})
    there = admin.list_topics(timeout=10).topics
    names = [topic.name for topic in TOPICS if topic.name in there]
    for done in admin.delete_topics(names, operation_timeout=30).values() if names else ():
        done.result()


def people(path: Path, *ids: str) -> str:
    np.savez(path, ids=np.array(ids), templates=np.eye(len(ids), D, dtype=np.float32))
    return str(path)


def shown(lamppost: Lamppost) -> list[list[str]]:
    code, out, err = lamppost("watchlist", "show")
    assert (code, err) == (0, "")
    return [line.split("\t") for line in out.splitlines()[1:]]


def test_topics_are_made_once_and_are_as_designed(lamppost: Lamppost) -> None:
    """Kafka took every setting of the catalogue as it is written there."""
    code, out, _ = lamppost("topics", "create", "--partitions", "3")
    assert (code, out.splitlines()) == (0, [f"{topic.name} made" for topic in TOPICS])
    code, out, _ = lamppost("topics", "create", "--partitions", "3")
    assert (code, out.splitlines()) == (0, [f"{topic.name} was there" for topic in TOPICS])
    code, out, _ = lamppost("topics", "show")
    rows = [line.split("\t") for line in out.splitlines()[1:]]
    assert (code, [row[:2] for row in rows]) == (0, [[topic.name, "ok"] for topic in TOPICS])
    assert "3 partitions" in rows[0][2]


def test_topics_that_are_not_as_asked_for_are_no_success(lamppost: Lamppost) -> None:
    """Other partitions than wanted end with code 1; without a wish any number is right. One partition needs no wish
    for workers."""
    assert lamppost("topics", "create", "--partitions", "1")[0] == 0
    code, out, err = lamppost("topics", "create", "--partitions", "8")
    assert (code, out.splitlines()[0], err.count("\n")) == (1, "frames was there", 1)
    assert "frames has partitions=1, 8 wanted" in err
    assert "kafka-topics.sh --alter" in err
    assert lamppost("topics", "create")[0] == 0


def checked(lamppost: Lamppost, *options: str) -> tuple[int, list[list[str]]]:
    """The exit code and the rows of a check."""
    code, out, _ = lamppost("topics", "check", *options)
    heading, *rows = [line.split("\t") for line in out.splitlines()]
    assert heading == ["place", "state", "setting", "found", "wanted", "what it means"]
    return code, rows


def test_a_check_succeeds_on_what_create_has_made_and_not_before(lamppost: Lamppost) -> None:
    """Each topic, and the broker; a single one is enough for all that is wanted of one."""
    code, rows = checked(lamppost)
    assert (code, [row[:2] for row in rows[:-1]]) == (1, [[topic.name, "missing"] for topic in TOPICS])
    assert lamppost("topics", "create", "--partitions", "3")[0] == 0
    code, rows = checked(lamppost, "--partitions", "3", "--replication", "1")
    assert (code, [row[1] for row in rows]) == (0, ["ok"] * (len(TOPICS) + 1))
    assert rows[0][:4] == ["frames", "ok", "", "3 partitions, 1 replica"]
    assert rows[-1][0] == "broker 1"
    code, rows = checked(lamppost, "--partitions", "5", "--replication", "3")
    assert code == 1
    assert ["frames", "drift", "partitions", "3", "5", ""] in rows
    assert ["custody", "drift", "replicas", "1", "3", "what it holds is lost with one broker"] in rows


def test_a_check_says_what_keeps_pictures_and_templates(
    lamppost: Lamppost, kafka: Connection, eventually: Callable[..., None]
) -> None:
    """Settings that somebody changed, each with how long it keeps them; show finds them as well and does not fail."""
    assert lamppost("topics", "create")[0] == 0
    admin = AdminClient({"bootstrap.servers": kafka.brokers}, logger=LOGGER)
    for topic, name, value in (
        ("frames", "retention.ms", "-1"),
        ("frames", "compression.type", "gzip"),
        ("watchlist", "max.compaction.lag.ms", "3600000"),
    ):
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin.incremental_alter_configs([change])[change].result()
    eventually(lambda: len([row for row in checked(lamppost)[1] if row[1] == "drift"]) == 3, "three departures")
    code, rows = checked(lamppost)
    assert code == 1
    assert [row[2:] for row in rows if row[0] == "frames"] == [
        ["retention.ms", "-1", "120000", "pictures stay in the files for ever; 180 s are promised"],
        ["compression.type", "gzip", "uncompressed", ""],
    ]
    (kept,) = [row[2:] for row in rows if row[0] == "watchlist"]
    assert kept[:3] == ["max.compaction.lag.ms", "3600000", "5000"]
    assert kept[3] == "removed templates stay in the files up to 3,616 s; 60 s are promised"
    code, out, _ = lamppost("topics", "show")
    assert (code, out.count("pictures stay in the files for ever")) == (0, 1)


def test_a_check_finds_a_broker_that_looks_too_seldom(
    lamppost: Lamppost, kafka: Connection, eventually: Callable[..., None]
) -> None:
    """The topics are as designed, and pictures would stay all the same."""
    assert lamppost("topics", "create")[0] == 0
    admin = AdminClient({"bootstrap.servers": kafka.brokers}, logger=LOGGER)
    (broker,) = admin.list_topics(timeout=10).brokers

    def alter(operation: AlterConfigOpType) -> None:
        entry = ConfigEntry("log.cleaner.backoff.ms", "40000", incremental_operation=operation)
        change = ConfigResource(ResourceType.BROKER, str(broker), incremental_configs=[entry])
        admin.incremental_alter_configs([change])[change].result()

    alter(AlterConfigOpType.SET)
    try:
        eventually(lambda: checked(lamppost)[0] == 1, "the change of a setting")
        rows = checked(lamppost)[1]
    finally:
        alter(AlterConfigOpType.DELETE)
    (row,) = [row for row in rows if row[1] != "ok"]
    assert row[:5] == [f"broker {broker}", "drift", "log.cleaner.backoff.ms", "40000", "at most 15000"]
    assert row[5].endswith("removed templates stay in the files up to 76 s; 60 s are promised")
    eventually(lambda: checked(lamppost)[0] == 0, "the setting as it was")


def test_a_watchlist_is_loaded_changed_and_shown(lamppost: Lamppost, tmp_path: Path) -> None:
    """The whole life of entries, seen through the commands alone."""
    lamppost("topics", "create")
    assert lamppost("watchlist", "load", people(tmp_path / "p.npz", "a", "b"), "--list", "missing")[:2] == (
        0, "2 entries loaded\n",
    )  # fmt: skip
    np.save(tmp_path / "c.npy", np.eye(1, D, dtype=np.float32)[0])
    added = ("c", str(tmp_path / "c.npy"), "--reference", "case/9", "--expires", "2030-01-01T00:00:00+00:00")
    assert lamppost("watchlist", "add", *added)[0] == 0
    assert lamppost("watchlist", "remove", "a")[0] == 0
    assert shown(lamppost) == [
        ["b", "missing", "", ""],
        ["c", "default", "case/9", "2030-01-01T00:00:00+00:00"],
    ]
    code, _, err = lamppost("watchlist", "remove", "a")
    assert (code, err.count("\n")) == (3, 1)


def test_a_removal_is_followed_by_a_record_that_closes_its_segment(
    lamppost: Lamppost, kafka: Connection, tmp_path: Path
) -> None:
    """Without a run nobody else writes one, and the removed template would stay for ever."""
    lamppost("topics", "create")
    lamppost("watchlist", "load", people(tmp_path / "p.npz", "a"))
    assert lamppost("watchlist", "remove", "a")[:2] == (0, "a removed\n")
    reader = TopicReader(kafka, WATCHLIST)
    *_, removal, last = reader.read_to(reader.ends(), 10.0)
    reader.close()
    assert (removal.key, removal.value, last.key) == (b"a", None, HEARTBEAT_KEY)
    segment_ms = int(next(topic.config["segment.ms"] for topic in TOPICS if topic.name == WATCHLIST))
    assert last.append_ns - removal.append_ns > segment_ms * 1_000_000


def test_nothing_of_a_file_with_one_wrong_row_is_published(lamppost: Lamppost, tmp_path: Path) -> None:
    """Half a watchlist would be worse than none."""
    lamppost("topics", "create")
    (tmp_path / "p.csv").write_text(
        ",".join(["good", "1", *["0"] * (D - 1)]) + "\n" + ",".join(["bad", "2", *["0"] * (D - 1)]) + "\n"
    )
    code, _, err = lamppost("watchlist", "load", str(tmp_path / "p.csv"))
    assert code == 3
    assert "row 2" in err
    assert "'bad'" in err
    assert shown(lamppost) == []


def test_the_people_of_synthetic_streets_are_loaded_without_a_file(lamppost: Lamppost) -> None:
    """They are those whom the cameras of that seed show as listed, enrolled with the shipped networks."""
    lamppost("topics", "create")
    loading = ("watchlist", "load", "--synthetic", "--seed", "7", "--size", "3", "--list", "street")
    assert lamppost(*loading)[:2] == (0, "3 entries loaded\n")
    (camera,) = synthetic_cameras(Cameras(count=1, seed=7), 3)
    assert [row[:2] for row in shown(lamppost)] == [[entry_id(seed), "street"] for seed in camera.street.listed]


def test_an_entry_that_has_expired_is_loaded_with_a_warning(lamppost: Lamppost, tmp_path: Path) -> None:
    """It would match nothing, and nobody would learn why."""
    lamppost("topics", "create")
    np.save(tmp_path / "c.npy", np.eye(1, D, dtype=np.float32)[0])
    code, out, err = lamppost("watchlist", "add", "c", str(tmp_path / "c.npy"), "--expires", "2020-01-01T00:00:00Z")
    assert (code, out) == (0, "c added\n")
    assert err.startswith("warning: 1 entry of 1 expired before now")


def test_a_watchlist_without_its_topic_says_how_to_make_it(lamppost: Lamppost, tmp_path: Path) -> None:
    """A topic that Kafka made by itself would never forget a template."""
    code, _, err = lamppost("watchlist", "load", people(tmp_path / "p.npz", "a"))
    assert (code, "lamppost topics create" in err) == (4, True)


def test_the_doctor_looks_at_kafka(lamppost: Lamppost, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local Kafka has the settings that the design asks for, and missing topics are a warning."""
    monkeypatch.setattr(doctor, "_weights", lambda _: [Finding("weights", Status.OK, "not looked at here")])
    code, out, _ = lamppost("doctor")
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert ["Kafka", "ok"] in [row[:2] for row in rows]
    assert ["broker settings", "ok"] in [row[:2] for row in rows]
    assert sum(row[:2] == ["topics", "warn"] for row in rows) == len(TOPICS)
    lamppost("topics", "create")
    assert "topics\tok" in lamppost("doctor")[1]
