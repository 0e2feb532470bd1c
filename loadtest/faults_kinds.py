"""The faults: how each is inflicted, how its recovery is seen from outside, and in what time."""

import os
import random
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import psutil

from loadtest.faults_disk import SmallDisk
from loadtest.faults_feed import Feed
from loadtest.faults_network import PARTITIONS, SHARDS, Network, Policy, alive, pids_of
from loadtest.faults_recording import CAMERAS
from pipeline.catalog.topics import FRAMES
from pipeline.errors import ClusterError
from pipeline.local.ray_node import RayNode

CONSUMING: Final = "consuming"
"""A receipt is committed for a frame sent after the fault, on every partition."""
GONE: Final = "orphans gone"
ADOPTED: Final = "adopted"
BACK: Final = "shard back"
BROKER_PAUSE_SECONDS: Final = 20.0
WORKER_PAUSE_SECONDS: Final = (7.0, 15.0)
"""Past the session time-out of 6 s; the supervisor gives up a process that is silent for 10 s."""
DISK_SECONDS: Final = 10.0
CLOCK_STEPS: Final = (-86_400.0, -600.0, -5.0, 5.0, 600.0, 3_000.0)
"""Seconds. A capture time more than an hour ahead is no clock and makes a dead letter."""


@dataclass
class Stage:
    """What there is to be hit."""

    network: Network
    feed: Feed
    disk: SmallDisk | None


def _nothing() -> None:
    """Nothing has to be undone."""


@dataclass
class Inflicted:
    """A fault that was inflicted a moment ago."""

    victim: str
    touched: set[int] = field(default_factory=set)
    """Processes that have to be dead, or part of the run again, before the network is whole."""
    signs: Mapping[str, Callable[[], bool]] = field(default_factory=dict)
    """Signs of recovery besides that frames are consumed."""
    lifted_after: float | None = None
    """Seconds until `lift`; None: once every sign was seen."""
    lift: Callable[[], None] = _nothing
    lost_shard: int | None = None
    """A shard all of whose replicas were hit; that it serves again is a sign, too."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault."""

    name: str
    limits: Mapping[str, float]
    """By sign of recovery the seconds in which it has to be seen."""
    inflict: Callable[[Stage, random.Random], Inflicted]
    policy: Policy = "wait"
    """``matching.on_shard_loss`` of the network that it is inflicted on."""
    needs_disk: bool = False


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _worker(stage: Stage, rng: random.Random) -> Inflicted:
    worker = rng.choice(stage.network.status().workers)
    _kill(worker.pid)
    return Inflicted(f"worker-{worker.slot}", {worker.pid})


def _replica(stage: Stage, rng: random.Random) -> Inflicted:
    shard = rng.choice(stage.network.status().shards)
    _kill(shard.pid)
    return Inflicted(shard.name, {shard.pid})


def _shard(stage: Stage, rng: random.Random) -> Inflicted:
    number = rng.randrange(SHARDS)
    pids = {each.pid for each in stage.network.status().shards if each.shard == number}
    for pid in pids:
        _kill(pid)
    return Inflicted(f"every replica of shard-{number}", pids, lost_shard=number)


def _supervisor(stage: Stage, _: random.Random) -> Inflicted:
    before = stage.network.status()
    children = set(pids_of(before)) - {before.pid}
    _kill(before.pid)

    def adopted() -> bool:
        try:
            now = stage.network.status()
        except ClusterError:
            return False
        return now.pid != before.pid and now.ready and set(pids_of(now)) - {now.pid} == children

    return Inflicted("supervisor", {before.pid}, {ADOPTED: adopted})


def _node_of_workers(stage: Stage, rng: random.Random) -> tuple[RayNode, set[int]]:
    """A node that has a worker, and the processes of the run that are on it."""
    status = stage.network.status()
    members, workers = set(pids_of(status)), {each.pid for each in status.workers}
    node = rng.choice([each for each in stage.network.nodes if workers.intersection(each.pids)])
    return node, members.intersection(node.pids)


def _node(stage: Stage, rng: random.Random) -> Inflicted:
    node, members = _node_of_workers(stage, rng)
    node.kill()
    victim = f"node with {len(members)} processes of the run"
    return Inflicted(victim, members, lift=lambda: stage.network.replace_node(node))


def _raylet(stage: Stage, rng: random.Random) -> Inflicted:
    node, members = _node_of_workers(stage, rng)
    node.kill_raylet()
    return Inflicted(
        f"raylet of {len(members)} processes of the run",
        members,
        {GONE: lambda: not any(map(alive, members))},
        lift=lambda: stage.network.replace_node(node),
    )


def _killed_broker(stage: Stage, node: int | None, what: str) -> Inflicted:
    if node is None:
        raise ClusterError(f"nobody {what}")
    stage.network.kafka.kill(node)
    return Inflicted(f"broker {node}, which {what}", lift=lambda: stage.network.kafka.restart(node))


def _leader(stage: Stage, rng: random.Random) -> Inflicted:
    partition = rng.randrange(PARTITIONS)
    return _killed_broker(stage, stage.network.kafka.leader_of(FRAMES, partition), f"leads {FRAMES} {partition}")


def _coordinator(stage: Stage, rng: random.Random) -> Inflicted:
    from pipeline.runtime.composition import transactional_id  # noqa: PLC0415  # imports Ray

    id_ = transactional_id(stage.network.run, rng.choice(stage.network.status().workers).slot)
    return _killed_broker(stage, stage.network.kafka.transaction_coordinator(id_), f"coordinates {id_}")


def _paused_broker(stage: Stage, rng: random.Random) -> Inflicted:
    partition, kafka = rng.randrange(PARTITIONS), stage.network.kafka
    node = kafka.leader_of(FRAMES, partition)
    if node is None:
        raise ClusterError(f"nobody leads {FRAMES} {partition}")
    kafka.pause(node)
    victim = f"broker {node}, which leads {FRAMES} {partition}, for {BROKER_PAUSE_SECONDS:.0f} s"
    return Inflicted(victim, lifted_after=BROKER_PAUSE_SECONDS, lift=lambda: kafka.resume(node))


def _paused(name: str, pid: int, rng: random.Random) -> Inflicted:
    process, seconds = psutil.Process(pid), rng.uniform(*WORKER_PAUSE_SECONDS)
    process.suspend()

    def resume() -> None:
        with suppress(psutil.NoSuchProcess):  # the supervisor may have ended it; psutil tells it from a successor's pid
            process.resume()

    return Inflicted(f"{name} for {seconds:.1f} s", {pid}, lifted_after=seconds, lift=resume)


def _paused_worker(stage: Stage, rng: random.Random) -> Inflicted:
    worker = rng.choice(stage.network.status().workers)
    return _paused(f"worker-{worker.slot}", worker.pid, rng)


def _paused_replica(stage: Stage, rng: random.Random) -> Inflicted:
    shard = rng.choice(stage.network.status().shards)
    return _paused(shard.name, shard.pid, rng)


def _full_disk(stage: Stage, _: random.Random) -> Inflicted:
    if stage.disk is None:
        raise ClusterError("there is no disk to fill")
    stage.disk.fill()
    victim = f"the disk of Ray's folders, {stage.disk.free} bytes free for {DISK_SECONDS:.0f} s"
    return Inflicted(victim, lifted_after=DISK_SECONDS, lift=stage.disk.relieve)


def _clock(stage: Stage, rng: random.Random) -> Inflicted:
    camera, seconds = rng.randrange(CAMERAS), rng.choice(CLOCK_STEPS)
    stage.feed.step(camera, seconds)
    return Inflicted(f"the clock of camera {camera} by {seconds:+.0f} s")


FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("worker", {CONSUMING: 15.0}, _worker),
        Fault("replica", {CONSUMING: 15.0}, _replica),
        Fault("shard", {CONSUMING: 30.0, BACK: 30.0}, _shard),
        Fault("shard-degrade", {CONSUMING: 15.0, BACK: 30.0}, _shard, policy="degrade"),
        Fault("supervisor", {CONSUMING: 15.0, ADOPTED: 30.0}, _supervisor),
        Fault("ray-node", {CONSUMING: 45.0}, _node),
        Fault("raylet", {CONSUMING: 45.0, GONE: 30.0}, _raylet),
        Fault("broker-leader", {CONSUMING: 20.0}, _leader),
        Fault("broker-coordinator", {CONSUMING: 20.0}, _coordinator),
        Fault("broker-paused", {CONSUMING: 20.0}, _paused_broker),
        Fault("worker-paused", {CONSUMING: 15.0}, _paused_worker),
        Fault("replica-paused", {CONSUMING: 15.0}, _paused_replica),
        Fault("ray-disk-full", {CONSUMING: 15.0}, _full_disk, needs_disk=True),
        Fault("camera-clock", {CONSUMING: 15.0}, _clock),
    )
}
"""By name. The limits of `worker`, of the brokers and of orphans are promised; the others are this test's own."""
