"""Apache Kafka on this machine, of one node or of three, in folders that are gone when it ends."""

import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from pipeline.errors import ResourceError
from pipeline.local import broker, leaders
from pipeline.local.artifacts import Progress
from pipeline.local.launch import DATA, Distribution
from pipeline.local.node import LOOK_SECONDS, STOP_SECONDS, Node
from pipeline.local.ports import free_ports, require_free
from pipeline.local.prepared import Notice, prepare

if TYPE_CHECKING:
    from pipeline.local.protection import Protection  # its cryptography is loaded by whoever makes one

START_SECONDS: Final = 60.0
HEAP_BYTES: Final = 512 * broker.MIB
ROOM_BYTES: Final = 1024 * broker.MIB
"""Has to be free on the disk per node: 24 frames/s of 100 KB make 430 MB in the 180 s until they are gone."""
ATTEMPTS: Final = 3
TAKEN: Final = "Address already in use"


class LocalKafka:
    """Brokers on the loopback interface: starts with `with`; their processes and files end with the block.

    They also end if this process is killed. ``start()`` and ``wait()`` apart let other things start meanwhile. Of
    three nodes each is broker and controller, each record is on all of them, and one may be lost (``broker.REPLICATED``
    has the settings).
    """

    def __init__(
        self,
        *,
        nodes: int = 1,
        port: int = 0,
        heap_bytes: int = HEAP_BYTES,
        settings: Mapping[str, str] | None = None,
        protection: "Protection | None" = None,
        cache: Path | None = None,
        progress: Progress | None = None,
        notice: Notice | None = None,
    ) -> None:
        """`nodes` is 1 or 3. `port` 0 takes free ones, else it is the first's, and the others have those that follow.

        `heap_bytes` is each node's; `settings` are the brokers', over those of ``broker.SETTINGS``. `protection` None
        lets every program of this machine do everything. The first start on a machine fetches and prepares Kafka in
        `cache` and says so to `progress` and `notice`; see ``prepared.prepare``.
        """
        self._number = nodes
        self._wanted_ports = [port + index for index in range(nodes)] if port else []
        self._heap_bytes = heap_bytes
        self._protection = protection
        self._settings = {**(protection.broker_settings() if protection else {}), **(settings or {})}
        self._access = protection.node_properties() if protection else None
        self._cache = cache
        self._progress = progress
        self._notice = notice
        self._distribution: Distribution | None = None
        self._places: list[broker.Place] = []
        self.nodes: Mapping[int, Node] = {}
        """By id, from 1 on; empty before the start and after the end."""
        self.folder = Path()
        """Everything of the first node: settings, log and data."""

    @property
    def address(self) -> str:
        """host:port for clients; of three nodes all, with commas between them."""
        return ",".join(place.address for place in self._places)

    @property
    def data_folder(self) -> Path:
        """Where the first node's segment files of the topics are."""
        return self.folder / DATA

    @property
    def log_folder(self) -> Path:
        """Where the first node's own log, ``kafka.log``, is."""
        return self.folder

    @property
    def pid(self) -> int:
        """The first node's process id; 0 before the start and after the end."""
        return self.nodes[1].pid if self.nodes else 0

    @property
    def guard_pid(self) -> int:
        """The process id of the guard above the first node: the root of the tree to measure; 0 as `pid`."""
        return self.nodes[1].guard_pid if self.nodes else 0

    def start(self) -> None:
        """Begin to start it; raises ResourceError without room or port, and what prepare() raises."""
        for port in self._wanted_ports:
            require_free(port)
        self._distribution = prepare(self._cache, self._progress, self._notice)
        self._launch(self._distribution)

    def wait(self, deadline_seconds: float = START_SECONDS) -> None:
        """Wait until every node answers and knows the others, and the users if there are any.

        Raises ResourceError, and removes it, if one does not.
        """
        deadline = time.monotonic() + deadline_seconds
        attempts = 1
        while True:
            ended = [node for node in self.nodes.values() if not node.alive()]
            silent = next((node for node in self.nodes.values() if not ended and not node.answers()), None)
            if self.nodes and not ended and silent is None:
                self._admit_users(deadline)
                return
            if silent is not None and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
                continue
            how = "ended while it was starting" if silent is None else f"did not answer within {deadline_seconds:.0f} s"
            blamed = silent or next(iter(ended), None)
            said = blamed.last_log_line() if blamed else self.last_log_line()
            self.stop()
            if TAKEN not in said or self._wanted_ports or attempts == ATTEMPTS or self._distribution is None:
                raise ResourceError(f"the local Kafka {how}: {said}")
            self._launch(self._distribution)  # another program was faster to a port
            attempts += 1

    def alive(self) -> bool:
        """Whether as many nodes run as it takes to serve: the one, or two of three."""
        running = sum(node.alive() for node in self.nodes.values())
        return running > self._number // 2

    def last_log_line(self) -> str:
        """The line of the log that tells best why it ended: that of the node that ended, or of the first."""
        if not self.nodes:
            return "it was not started"
        ended = (node for node in self.nodes.values() if not node.alive())
        return next(ended, self.nodes[1]).last_log_line()

    def kill(self, node: int) -> None:
        """End a node with SIGKILL; its data stay for `restart`."""
        self.nodes[node].kill()

    def pause(self, node: int) -> None:
        """Stop a node (SIGSTOP) until `resume`: it holds its connections and answers nothing."""
        self.nodes[node].pause()

    def resume(self, node: int) -> None:
        """Let a paused node go on."""
        self.nodes[node].resume()

    def restart(self, node: int) -> None:
        """Launch a node again on its ports and data, after ending it if it runs; returns before it answers.

        Raises ResourceError if it cannot be launched.
        """
        self.nodes[node].restart()

    def leader_of(self, topic: str, partition: int) -> int | None:
        """The id of the node that leads a partition, None while none does; raises BrokerError if it is not known."""
        return self.partition(topic, partition).leader

    def partition(self, topic: str, partition: int) -> leaders.Partition:
        """Who leads and who holds a partition, asked of the nodes that serve; raises BrokerError if it is not known."""
        return leaders.partition_of(self._serving(), topic, partition, self._access)

    def transaction_coordinator(self, transactional_id: str) -> int | None:
        """The id of the node that coordinates a transactional id's transactions, None while none does.

        Raises BrokerError before the first transaction of any id, which makes the topic that says so.
        """
        return leaders.transaction_coordinator(self._serving(), transactional_id, self._access)

    def group_coordinator(self, group: str) -> int | None:
        """The id of the node that coordinates a consumer group, None while none does.

        Raises BrokerError before the first group there is, for which the topic is made that says so.
        """
        return leaders.group_coordinator(self._serving(), group, self._access)

    def stop(self) -> None:
        """End it and remove its folders; does nothing if it is not there."""
        nodes, self.nodes = self.nodes, {}
        with ExitStack() as stack:
            for node in nodes.values():
                # with what they hold going, three need not hand their partitions to each other first
                stack.callback(node.stop, STOP_SECONDS if self._number == 1 else 0.0)

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _serving(self) -> str:
        """The addresses to ask: a paused node would take a question and never answer."""
        return ",".join(node.place.node_address for node in self.nodes.values() if node.serves())

    def _admit_users(self, deadline: float) -> None:
        """Have every node let the users in; raises ResourceError, and removes it, if one does not by `deadline`."""
        if self._protection is None:
            return
        try:
            addresses = [place.address for place in self._places]
            self._protection.admit_users(self._serving(), addresses, deadline, self._require_running)
        except ResourceError:
            self.stop()
            raise

    def _require_running(self) -> None:
        if ended := next((node for node in self.nodes.values() if not node.alive()), None):
            raise ResourceError(f"the local Kafka ended while it was starting: {ended.last_log_line()}")

    def _launch(self, distribution: Distribution) -> None:
        where = tempfile.gettempdir()
        free = shutil.disk_usage(where).free
        if free < self._number * ROOM_BYTES:
            raise ResourceError(
                f"the local Kafka needs {self._number * ROOM_BYTES // broker.MIB} MiB in {where}, "
                f"{free // broker.MIB} MiB are free; free some, or set TMPDIR to a folder with room"
            )
        free_each = iter(free_ports(3 * self._number))
        self._places = [
            broker.Place(
                index + 1,
                self._wanted_ports[index] if self._wanted_ports else next(free_each),
                next(free_each),
                next(free_each) if self._protection else None,
            )
            for index in range(self._number)
        ]
        self.nodes = nodes = {}
        try:
            for place in self._places:
                nodes[place.node] = Node(
                    distribution,
                    place,
                    self._places,
                    heap_bytes=self._heap_bytes,
                    settings=self._settings,
                    access=self._access,
                )
        except ResourceError:
            self.stop()
            raise
        self.folder = nodes[1].folder
