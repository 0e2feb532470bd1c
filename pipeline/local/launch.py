"""Starting a broker's process, and asking whether it answers."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.local import broker
from pipeline.local.keeper import Kept, keep
from pipeline.local.ports import listens

LOG: Final = "kafka.log"
DATA: Final = "data"
ASK_SECONDS: Final = 2.0
SILENT: Final = logging.Logger("lamppost.local.kafka")
"""What librdkafka says of a broker that is only just starting interests nobody; its errors are raised."""
SILENT.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Distribution:
    """The files that a broker is started from."""

    jars: Sequence[Path]
    """In the order of the class path."""
    storage: Path
    """A formatted and empty data folder, to be copied."""
    archive: Path
    """Java's archive of loaded classes; Java starts without it if it is not there."""


def launch(
    distribution: Distribution,
    folder: Path,
    *,
    port: int,
    controller_port: int,
    heap_bytes: int,
    settings: Mapping[str, str] | None = None,
    java_options: Sequence[str] = (),
) -> Kept:
    """Start a broker in `folder`, which goes when it ends: data in ``data``, its log in ``kafka.log``.

    `settings` are the broker's, over those of ``broker.SETTINGS``. Raises OSError, and removes `folder`, if it cannot
    be started.
    """
    try:
        shutil.copytree(distribution.storage, folder / DATA)
        file = folder / "server.properties"
        file.write_text(broker.properties(port, controller_port, folder / DATA, settings), encoding="utf-8")
        options = [f"-XX:ErrorFile={folder / 'crash.log'}", *java_options]
        return keep(
            [*broker.java(distribution.jars, heap_bytes, *options), "kafka.Kafka", str(file)],
            folder=folder,
            log=folder / LOG,
            environment=broker.environment(),
        )
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def answers(port: int) -> bool:
    """Whether a broker on `port` names itself; asked only if the port is open, since librdkafka waits between tries."""
    if not listens(port):
        return False
    admin = AdminClient({"bootstrap.servers": f"{broker.HOST}:{port}"}, logger=SILENT)
    try:
        return bool(admin.list_topics(timeout=ASK_SECONDS).brokers)
    except KafkaException:
        return False
