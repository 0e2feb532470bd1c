"""A Ray of this machine's own: what it promises while it runs, and that nothing of it stays."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pipeline.errors import ClusterError
from pipeline.local.guard import descendants
from pipeline.local.machine import tree_pss
from pipeline.local.ports import listens
from pipeline.local.ray import LocalRay
from pipeline.local.ray_node import RayNode

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]

RAY_DEFAULT = Path("/tmp/ray")
"""Where Ray would put its session if it were not told; somebody else's may have left some."""
SESSIONS_OF_OTHERS = set(RAY_DEFAULT.glob("session_*"))

ORPHAN_SECONDS = 30.0
"""In which an actor has to be gone whose raylet is."""

DRIVER = """
import json, os, sys
import ray
ray.init(address=sys.argv[1], namespace="test", configure_logging=False, log_to_driver=False)
@ray.remote
class Actor:
    def who(self):
        return os.getpid(), os.environ["LP_MARK"]
actor = Actor.options(name="actor", lifetime="detached").remote()
pid, mark = ray.get(actor.who.remote(), timeout=60)
print(json.dumps({"actor": pid, "mark": mark, "ip": ray.util.get_node_ip_address(),
                  "cpus": ray.cluster_resources()["CPU"]}))
"""


SEATED = """
import os, sys
import ray
ray.init(address=sys.argv[1], namespace="test", configure_logging=False, log_to_driver=False)
@ray.remote
class Seated:
    def pid(self):
        return os.getpid()
print(ray.get(Seated.options(lifetime="detached", resources={"seat": 1}).remote().pid.remote(), timeout=60))
"""


def drive(address: str, environment: Mapping[str, str], script: str = DRIVER) -> "subprocess.CompletedProcess[str]":
    """Run a driver in a process of its own: Ray reads token and switches when it is imported."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", script, address],
        env={**ours, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalRay]:
    """One Ray for the tests; the last of them ends it."""
    with LocalRay(cpus=3, environment={"LP_MARK": "here"}) as each:
        yield each


def test_it_listens_on_the_loopback_interface_alone(cluster: LocalRay) -> None:
    """Every port of every process of it, and they are those that it states."""
    stated = {port for ports in cluster.ports.values() for port in ports}
    assert int(cluster.address.rpartition(":")[2]) in stated
    for pid in descendants(cluster.guard_pid):
        for each in psutil.Process(pid).net_connections("inet"):
            if each.status == psutil.CONN_LISTEN:
                assert each.laddr.ip.removeprefix("::ffff:") == "127.0.0.1"
                assert each.laddr.port in stated


def test_its_sockets_have_paths_that_linux_takes(cluster: LocalRay) -> None:
    """107 bytes, with room for the longest of names."""
    sockets = [path for path in cluster.folder.rglob("sockets/*") if path.is_socket()]
    assert sockets
    assert max(len(os.fsencode(path)) for path in sockets) < 107


def test_a_head_takes_less_memory_than_ray_start_gives_it(cluster: LocalRay) -> None:
    """Some 240 MB against 490: processes that nothing here uses are not there."""
    assert tree_pss(cluster.guard_pid) < 320e6


def test_a_driver_without_the_token_gets_nothing(cluster: LocalRay) -> None:
    """Nor one with a token of its own."""
    hasty = {"RAY_NUM_REDIS_GET_RETRIES": "1", "RAY_gcs_rpc_server_connect_timeout_s": "1"}
    wrong = {**cluster.environment, **hasty, "RAY_AUTH_TOKEN": "0" * 64}
    refused = drive(cluster.address, wrong)
    assert refused.returncode != 0
    assert "actor" not in refused.stdout
    assert "uthentic" in refused.stderr


def test_an_actor_runs_with_the_environment_that_was_given(cluster: LocalRay) -> None:
    """On the loopback address, with as many cores as were given; the driver says nothing else."""
    done = drive(cluster.address, cluster.environment)
    assert done.returncode == 0, done.stderr
    assert '"mark": "here"' in done.stdout
    assert '"ip": "127.0.0.1"' in done.stdout
    assert '"cpus": 3.0' in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


@pytest.mark.parametrize("ending", ["kill", "kill_raylet"])
def test_a_further_node_dies_with_its_actors_and_without_the_head(
    cluster: LocalRay, eventually: Eventually, ending: str
) -> None:
    """An actor whose raylet alone was killed ends itself; nobody told it to."""
    with RayNode(cluster, cpus=1, resources={"seat": 1}) as node:
        done = drive(cluster.address, cluster.environment, SEATED)
        assert done.returncode == 0, done.stderr
        actor = int(done.stdout)
        assert actor in node.pids
        pids = node.pids
        getattr(node, ending)()
        eventually(lambda: not alive(actor), "the end of the actor", ORPHAN_SECONDS)
        assert not node.alive()
    assert not any(alive(pid) for pid in pids)
    assert not node.folder.exists()
    assert cluster.alive()


def test_a_dead_raylet_is_seen_and_stop_leaves_nothing(cluster: LocalRay, eventually: Eventually) -> None:
    """The detached actor, which outlived its driver, goes as well; so do ports, files and shared memory."""
    below = descendants(cluster.guard_pid)
    names = {pid: psutil.Process(pid).name() for pid in below}
    assert "ray::Actor" in names.values()
    raylet = next(pid for pid, name in names.items() if name == "raylet")
    os.kill(raylet, signal.SIGKILL)
    eventually(lambda: not cluster.alive(), "the end to be seen")
    cluster.stop()
    assert not any(alive(pid) for pid in [cluster.guard_pid, *below] if pid)
    assert not any(listens(port) for ports in cluster.ports.values() for port in ports)
    assert not cluster.folder.exists()
    assert set(RAY_DEFAULT.glob("session_*")) <= SESSIONS_OF_OTHERS


PARENT = """
import time
from pipeline.local.ray import LocalRay
from pipeline.local.ray_node import RayNode
with LocalRay(cpus=1) as cluster:
    print(cluster.guard_pid, cluster.folder, flush=True)
    time.sleep(300)
"""


def test_nothing_is_left_when_the_parent_is_killed(eventually: Eventually) -> None:
    """Every process and every file is gone within 30 s, though nobody was there to end them."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        guard_pid, folder = parent.stdout.readline().split()
        pids = [int(guard_pid), *descendants(int(guard_pid))]
        assert len(pids) > 4
        parent.kill()
        eventually(lambda: not any(alive(pid) for pid in pids), "the processes to end", 30)
    assert not Path(folder).exists()


def test_a_start_that_fails_says_why_and_leaves_nothing() -> None:
    """Ray takes no object store as small as this."""
    cluster = LocalRay(cpus=1, object_store_bytes=1)
    with pytest.raises(ClusterError, match=r"local Ray ended while it was starting: .*object store"):
        cluster.__enter__()
    assert not cluster.folder.exists()


def test_a_start_that_takes_too_long_is_given_up() -> None:
    """And its processes are ended."""
    cluster = LocalRay(cpus=1, start_seconds=0.0)
    cluster.start()
    with pytest.raises(ClusterError, match="not up within 0 s"):
        cluster.wait()
    assert not cluster.folder.exists()
