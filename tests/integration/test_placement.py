"""Replicas on a Ray of two nodes: those of one shard live apart, and one whose node is gone starts on what is left."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.actors.placement import Placement
from pipeline.core.replicas import Replica, replicas_of

pytestmark = pytest.mark.integration

SHARDS = 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes on this machine, and this process connected to them."""
    import ray  # noqa: PLC0415  # it takes a second, which other tests need not spend
    from ray.cluster_utils import Cluster  # noqa: PLC0415  # as above

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="lp-ray-", dir="/tmp") as folder:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_TMPDIR", folder)  # where it notes its address for anybody who looks for a cluster
        (Path(folder) / "ray").mkdir()
        nodes = {"num_cpus": 1, "object_store_memory": 80 * 1024 * 1024, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=nodes | {"temp_dir": folder})
        try:
            made.add_node(**nodes)
            ray.init(address=made.address, log_to_driver=False, configure_logging=False)
            made.wait_for_nodes()
            yield made
        finally:
            ray.shutdown()
            made.shutdown()


def start(replica: Replica, placement: Placement) -> str:
    """Start a detached actor of that name where it is to live; the node where it is."""
    import ray  # noqa: PLC0415  # as above

    class Here:
        """Stands where the replica would."""

        def status(self) -> Any:
            """Where it lives, as a replica says it."""
            node_id = str(ray.get_runtime_context().get_node_id())
            return SimpleNamespace(shard=replica.shard, replica=replica.number, node_id=node_id, pid=os.getpid())

    actor = (
        ray.remote(Here)
        .options(name=replica.name, namespace="run", lifetime="detached", num_cpus=0, **placement.options(replica))
        .remote()
    )
    node: str = ray.get(actor.status.remote(), timeout=60).node_id
    return node


def adopting(replicas: Iterable[Replica]) -> Placement:
    """The placement of a supervisor that comes back."""
    placement = Placement(2)
    placement.look_up("run", replicas)
    return placement


def test_replicas_live_apart_and_start_on_what_is_left(cluster: Any, eventually: Callable[..., None]) -> None:
    """Each shard has a replica on either node; without a second node both are on the first."""
    import ray  # noqa: PLC0415  # as above

    placement = Placement(2)
    homes = {each: start(each, placement) for shard in range(SHARDS) for each in replicas_of(shard, 2)}
    head, other = cluster.head_node.node_id, next(iter(cluster.worker_nodes)).node_id
    for shard in range(SHARDS):
        assert {homes[each] for each in replicas_of(shard, 2)} == {head, other}
    known = adopting(homes)
    assert {each: known.options(each)["scheduling_strategy"].node_id for each in homes} == homes
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    eventually(lambda: sum(node["Alive"] for node in ray.nodes()) == 1, "the loss of a node", 60.0)
    lost = next(each for each, node in homes.items() if node == other)
    assert start(lost, adopting(homes)) == head
