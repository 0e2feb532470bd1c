"""Where the supervisor has Ray start the replicas of shards: those of one shard on different nodes."""

from collections.abc import Iterable
from typing import Any, Final

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.actors.watchlist_shard import ShardStatus
from pipeline.core.replicas import Replica, home

MEMORY_BYTES: Final = 1
"""What a replica takes of its node in Ray's books: every node has memory to give, and not every one has a CPU."""
LOOK_UP_SECONDS: Final = 1.0
"""What replicas that a predecessor has left may take to say where they live; nobody renews a lease meanwhile."""


class Placement:
    """Knows where each replica lives, and chooses where one that is started next is to live; one thread uses it.

    Ray has no anti-affinity between actors, and its strategy SPREAD does not know which of them belong together. So a
    replica is given a node by name, softly: one that is gone by then does not keep it from starting elsewhere.
    """

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas
        self._homes: dict[Replica, str] = {}
        self._known: dict[Replica, tuple[str, int]] = {}
        self._found: set[Replica] = set()

    def look_up(self, run: str, replicas: Iterable[Replica]) -> None:
        """Take in where those replicas live that are there already, before the first of the others is given a node.

        They are a dead supervisor's. One that does not say so in time is given a node like one that is missing.
        """
        if self._replicas == 1:
            return
        asked: dict[Any, Replica] = {}
        for replica in replicas:
            try:
                asked[ray.get_actor(replica.name, namespace=run).status.remote()] = replica
            except ValueError:
                continue  # there is none
        said = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_UP_SECONDS)[0] if asked else []
        for reply in said:
            try:
                self.take_in(ray.get(reply))
            except RayError:
                continue  # it is gone, perhaps with its node
            self._found.add(asked[reply])

    def take_in(self, status: ShardStatus | None) -> None:
        """Take in where a replica says that it lives, which may be elsewhere than it was meant to.

        A process says so for good: its status is still there when a successor has been given another node.
        """
        if status is None:
            return
        replica, process = Replica(status.shard, status.replica, self._replicas), (status.node_id, status.pid)
        if self._known.get(replica) != process:
            self._known[replica] = process
            self._homes[replica] = status.node_id

    def options(self, replica: Replica) -> dict[str, Any]:
        """Ray's options for an actor that is about to be started; none for the only replica of its shard."""
        if self._replicas == 1:
            return {}
        if replica in self._found:
            self._found.discard(replica)  # it is adopted, and its successor is given a node
            return self._on(self._homes[replica])
        died_on = self._homes.pop(replica, None)
        nodes = ray.nodes()  # type: ignore[no-untyped-call]  # Ray's gap
        chosen = home(
            [node["NodeID"] for node in nodes if node["Alive"]],
            siblings=[self._homes[each] for each in replica.siblings if each in self._homes],
            others=[node for each, node in self._homes.items() if each.shard != replica.shard],
            died_on=died_on,
        )
        if chosen is None:
            return {}
        self._homes[replica] = chosen
        return self._on(chosen)

    def _on(self, node: str) -> dict[str, Any]:
        # Ray puts an actor that takes nothing on any node, whatever it is told (measured with 2.60)
        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=True), "memory": MEMORY_BYTES}
