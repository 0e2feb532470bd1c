"""Starting a broker's process, and asking whether it answers."""

import base64
import logging
import shutil
import uuid
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
    """A formatted and empty data folder of node 1, to be copied."""
    archive: Path
    """Java's archive of loaded classes; Java starts without it if it is not there."""


def launch(
    distribution: Distribution,
    folder: Path,
    place: broker.Place,
    cluster: Sequence[broker.Place],
    *,
    heap_bytes: int,
    settings: Mapping[str, str] | None = None,
    java_options: Sequence[str] = (),
) -> Kept:
    """Start the broker of `place` in `folder`, which goes when it ends: data in ``data``, its log in ``kafka.log``.

    Data that are there are used. `settings` are the broker's, over those of ``broker.SETTINGS``. Raises OSError, and
    removes `folder`, if it cannot be started.
    """
    data = folder / DATA
    try:
        if not data.exists():
            shutil.copytree(distribution.storage, data)
            _identify(data / "meta.properties", place.node)
        file = folder / "server.properties"
        file.write_text(broker.properties(place, cluster, data, settings), encoding="utf-8")
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


def _identify(file: Path, node: int) -> None:
    """Make storage that was formatted for node 1 that of `node`: no two nodes may have an id or a directory in common.

    Formatting does nothing else that depends on the node, and would take a Java of its own for each.
    """
    directory = uuid.uuid5(uuid.NAMESPACE_OID, f"lamppost node {node}").bytes
    own = {"node.id": str(node), "directory.id": base64.urlsafe_b64encode(directory).decode().rstrip("=")}
    lines = [line.partition("=") for line in file.read_text(encoding="utf-8").splitlines()]
    file.write_text("".join(f"{name}{sign}{own.get(name, value)}\n" for name, sign, value in lines), encoding="utf-8")


def answers(port: int, nodes: int = 1, access: Mapping[str, str] | None = None) -> bool:
    """Whether a broker on `port` knows of as many `nodes`, itself included, that serve.

    Asked only if the port is open, since librdkafka waits between tries; `access` are its properties for a listener
    that is protected.
    """
    if not listens(port):
        return False
    admin = AdminClient({"bootstrap.servers": f"{broker.HOST}:{port}", **(access or {})}, logger=SILENT)
    try:
        return len(admin.list_topics(timeout=ASK_SECONDS).brokers) >= nodes
    except KafkaException:
        return False
