"""A Kafka of this machine's own: what it promises while it runs, and that nothing of it stays."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource

from pipeline.errors import ResourceError
from pipeline.local import kafka as local_kafka
from pipeline.local.guard import descendants
from pipeline.local.kafka import LocalKafka
from pipeline.local.machine import tree_pss
from pipeline.local.ports import free_ports, listens

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]
READY_SECONDS = 15.0
"""Many times what it takes (1.5 s), for a machine that does other things as well."""


def port_of(address: str) -> int:
    """The port in host:port."""
    return int(address.rpartition(":")[2])


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalKafka]:
    """One broker for the tests that change nothing about its life."""
    with LocalKafka() as each:
        yield each


def test_it_has_the_settings_that_were_asked_for(broker: LocalKafka) -> None:
    """As the broker itself tells them; Kafka silently keeps a setting's default if its name is misspelt."""
    resource = ConfigResource(ConfigResource.Type.BROKER, "1")
    admin = AdminClient({"bootstrap.servers": broker.address})
    [answer] = admin.describe_configs([resource]).values()
    told = {name: entry.value for name, entry in answer.result(10).items()}
    wanted = local_kafka.broker.SETTINGS
    assert {name: told.get(name) for name in wanted} == dict(wanted)


def test_a_topic_is_not_made_by_asking_for_it(broker: LocalKafka) -> None:
    """A misspelt name is an error."""
    producer = Producer({"bootstrap.servers": broker.address, "topic.metadata.propagation.max.ms": 0})
    failed: list[object] = []
    producer.produce("misspelt", b"", on_delivery=lambda error, _: failed.append(error))
    producer.flush(10)
    assert failed
    assert "misspelt" not in AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=10).topics


def test_it_speaks_the_new_group_protocol_and_transactions(broker: LocalKafka) -> None:
    """Both depend on features that formatting switches on."""
    group = {"group.id": "g", "group.protocol": "consumer", "bootstrap.servers": broker.address}
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": "t"})
    consumer = Consumer(group)
    try:
        consumer.subscribe(["^no-such-topic"])
        assert consumer.poll(1.0) is None
        producer.init_transactions(20)
    finally:
        consumer.close()


def test_its_memory_stays_below_what_is_promised(broker: LocalKafka) -> None:
    """310 MB is the figure of the design; its keeping counts as well."""
    assert tree_pss(broker.guard_pid) < 310e6


def test_stop_leaves_no_process_no_port_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is up within seconds; its files are where it says."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    begun = time.monotonic()
    with LocalKafka() as broker:
        assert time.monotonic() - begun < READY_SECONDS
        pids = [broker.guard_pid, *descendants(broker.guard_pid)]
        assert broker.pid in pids
        assert (broker.data_folder / "meta.properties").is_file()
        assert (broker.log_folder / "kafka.log").is_file()
        assert list(tmp_path.iterdir()) == [broker.folder]
    assert not any(alive(pid) for pid in pids)
    assert not listens(port_of(broker.address))
    assert list(tmp_path.iterdir()) == []


def test_a_broker_that_is_killed_is_seen_and_still_cleaned_up(eventually: Eventually) -> None:
    """Nobody else would say so."""
    with LocalKafka() as broker:
        os.kill(broker.pid, signal.SIGKILL)
        eventually(lambda: not broker.alive(), "the end to be seen")
        assert broker.folder.exists()
    assert not broker.folder.exists()


PARENT = """
import time
from pipeline.local.kafka import LocalKafka
with LocalKafka() as broker:
    print(broker.address, broker.guard_pid, broker.pid, broker.folder, flush=True)
    time.sleep(300)
"""


def test_nothing_is_left_when_the_parent_is_killed(eventually: Eventually) -> None:
    """Process, port and files are gone within 30 s, though nobody was there to end them."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        address, guard_pid, pid, folder = parent.stdout.readline().split()
        assert alive(int(pid))
        parent.kill()
        eventually(lambda: not alive(int(pid)) and not alive(int(guard_pid)), "the processes to end", 30)
    assert not listens(port_of(address))
    assert not Path(folder).exists()


def test_a_port_in_use_is_named(broker: LocalKafka) -> None:
    """Before anything is started."""
    port = port_of(broker.address)
    with pytest.raises(ResourceError, match=f"port {port} on 127.0.0.1 is in use"):
        LocalKafka(port=port).start()


def test_the_wanted_port_is_taken() -> None:
    """And the address is that of it."""
    [port] = free_ports(1)
    with LocalKafka(port=port) as broker:
        assert broker.address == f"127.0.0.1:{port}"
        assert listens(port)


def test_a_start_that_fails_says_kafkas_reason_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line of its log that names the fault, not the last one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (
        pytest.raises(ResourceError, match=r"local Kafka ended while it was starting: .*num\.io\.threads"),
        LocalKafka(settings={"num.io.threads": "none"}),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_heap_that_is_too_small_for_java_is_said() -> None:
    """Java's own words are in the message."""
    with (
        pytest.raises(ResourceError, match=r"local Kafka ended while it was starting: .*heap"),
        LocalKafka(heap_bytes=1),
    ):
        pass


def test_too_little_room_is_said_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way out."""
    monkeypatch.setattr(local_kafka, "ROOM_BYTES", 2**62)
    with pytest.raises(ResourceError, match="free some, or set TMPDIR"):
        LocalKafka().start()


def test_a_client_without_a_broker_gets_no_answer() -> None:
    """What the other tests take for an answer is one."""
    [port] = free_ports(1)
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=0.2)
