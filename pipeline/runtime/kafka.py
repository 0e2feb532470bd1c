"""The job behind ``lamppost kafka start``: a local Kafka in the foreground."""

import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from pipeline.catalog.roles import ADMINISTRATOR, ROLES
from pipeline.errors import BrokerError
from pipeline.local.kafka import LocalKafka
from pipeline.local.node import Node
from pipeline.local.protection import Protection
from pipeline.runtime.role_files import RoleFiles
from pipeline.runtime.settings import Settings

LOOK_SECONDS = 0.5
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def start(
    settings: Settings,
    port: int,
    *,
    secured: Path | None = None,
    progress: Callable[[int, int], None],
    notice: Callable[[str], None],
    ready: Callable[[str, Mapping[int, Node], list[Path]], None],
) -> None:
    """Run a local Kafka of ``kafka.nodes`` until SIGINT or SIGTERM, and remove it.

    `port` 0 takes free ones; `secured` is the folder for the roles' settings files of a protected one; `progress` is
    told the bytes fetched and the bytes in all if Kafka has to be fetched, and `notice` what else a first start does,
    and a node that ends while the others go on; `ready` is told the address, the nodes and the settings files once they
    answer. Raises ResourceError if it can't be started, OSError if the files can't be written, BrokerError if it ends
    by itself.
    """
    protection = None if secured is None else Protection(ADMINISTRATOR, (role.name for role in ROLES))
    kafka = LocalKafka(nodes=settings.kafka.nodes, port=port, protection=protection, progress=progress, notice=notice)
    told = threading.Event()
    with ExitStack() as stack:
        files = None if secured is None else stack.enter_context(RoleFiles(secured))
        stack.callback(kafka.stop)
        kafka.start()
        kafka.wait(settings.lifecycle.start_seconds)
        # from here on an interrupt is the wanted end; before, it is one that interrupts
        before = [signal.signal(number, lambda *_: told.set()) for number in SIGNALS]
        try:
            written = files.write(kafka.address, protection) if files and protection else []
            ready(kafka.address, kafka.nodes, written)
            ended: set[int] = set()
            while not told.wait(LOOK_SECONDS):
                if not kafka.alive():
                    raise BrokerError(f"Kafka at {kafka.address} ended: {kafka.last_log_line()}")
                for node in kafka.nodes.values():
                    if node.id not in ended and not node.alive():
                        ended.add(node.id)
                        notice(f"node {node.id} at {node.address} ended, the others go on; {node.last_log_line()}")
        finally:
            for number, handler in zip(SIGNALS, before, strict=True):
                signal.signal(number, handler)
