"""The job behind ``lamppost kafka start``: a local Kafka in the foreground."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from pipeline.catalog.roles import ADMINISTRATOR, ROLES
from pipeline.errors import BrokerError
from pipeline.local.kafka import LocalKafka
from pipeline.local.node import Node
from pipeline.local.protection import Protection
from pipeline.runtime.role_files import RoleFiles
from pipeline.runtime.settings import Settings

LOOK_SECONDS: Final = 0.5
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start(
    settings: Settings,
    port: int,
    *,
    secured: Path | None = None,
    progress: Callable[[int, int], None],
    notice: Callable[[str], None],
    ready: Callable[[str, Mapping[int, Node], list[Path]], None],
) -> None:
    """Run a local Kafka of ``kafka.nodes`` until SIGINT, SIGTERM or SIGHUP, and remove it.

    `port` 0 takes free ones; `secured` is the folder for the roles' settings files of a protected one; `progress` is
    told the bytes fetched and the bytes in all if Kafka has to be fetched, and `notice` what else a first start does,
    and a node that ends while the others go on; `ready` is told the address, the nodes and the settings files once they
    answer. Raises ResourceError if it can't be started, InputError or OSError if the files can't be written,
    BrokerError if it ends by itself, and KeyboardInterrupt at a signal before it answers.
    """
    protection = None if secured is None else Protection(ADMINISTRATOR, (role.name for role in ROLES))
    kafka = LocalKafka(nodes=settings.kafka.nodes, port=port, protection=protection, progress=progress, notice=notice)
    with ExitStack() as stack:
        end = stack.enter_context(_End())  # outermost, so that no further signal keeps anything from being removed
        stack.callback(kafka.stop)
        files = stack.enter_context(RoleFiles(secured, protection)) if secured and protection else None
        with end.interrupts():
            kafka.start()
            kafka.wait(settings.lifecycle.start_seconds)
        ready(kafka.address, kafka.nodes, files.write(kafka.address) if files else [])
        ended: set[int] = set()
        while not end.wanted.wait(LOOK_SECONDS):
            if not kafka.alive():
                raise BrokerError(f"Kafka at {kafka.address} ended: {kafka.last_log_line()}")
            for node in kafka.nodes.values():
                if node.id not in ended and not node.alive():
                    ended.add(node.id)
                    notice(f"node {node.id} at {node.address} ended, the others go on; {node.last_log_line()}")


class _End:
    """Notes signals that ask for the end; SIGHUP, if it is ignored at the start as under nohup, stays so."""

    def __init__(self) -> None:
        self.wanted = threading.Event()
        self._interrupts = False
        self._before: dict[int, signal.Handlers | int | Callable[[int, FrameType | None], object] | None] = {}

    @contextmanager
    def interrupts(self) -> Iterator[None]:
        """While the block lasts the first signal raises KeyboardInterrupt, as one that came before it does."""
        self._interrupts = True
        try:
            if self.wanted.is_set():
                raise KeyboardInterrupt
            yield
        finally:
            self._interrupts = False

    def __enter__(self) -> Self:
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.wanted.set()
        if self._interrupts:
            self._interrupts = False
            raise KeyboardInterrupt
