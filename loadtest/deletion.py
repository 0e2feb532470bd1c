"""Whether pictures and removed templates leave the brokers' files in time: `python -m loadtest.deletion`.

A local Kafka gets the catalogue's topics, and how often its brokers look for what to delete and to compact is the
slowest that `lamppost doctor` lets pass. Canaries, random bytes inside frames and as templates, are published with the
producers and the encodings of cameras and of the watchlist's commands, looked for in every file of the brokers until
they are found, and then until they are not:

- in frames on a partition that others follow on, at a steady rate, and on one that falls silent after them,
- in templates that are removed from a list on which nothing else happens: some just before a heartbeat that comes too
  early to close their segment, so that it takes the next one, and some long before one.

Two controls have to stay, or the search finds nothing: the template of an entry that is not removed, and frames on a
topic with traffic that deletes by `retention.ms` alone. `--scale 0.1` takes a tenth of all times, promised ones
included.
"""

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from loadtest.broker_files import still_there
from loadtest.command import writable
from loadtest.deletion_figures import Canary, Figure, figures, line
from pipeline.catalog.topics import FRAMES, TOPICS, WATCHLIST, Topic
from pipeline.errors import LamppostError
from pipeline.local.kafka import LocalKafka
from pipeline.records import Frame, WatchlistEntry
from pipeline.streams.client import Connection
from pipeline.streams.deletion import CHECK_INTERVAL, CHECK_INTERVAL_MS, CLEANER_BACKOFF, CLEANER_BACKOFF_MS
from pipeline.streams.producer import FrameProducer
from pipeline.streams.topics import TopicAdmin
from pipeline.streams.writer import RecordWriter
from pipeline.wire import frames, watchlist

CAMERA: Final = "north/cam-000"
PARTITIONS: Final = 2
"""One of ``frames`` has traffic for as long as it takes, the other one only canaries."""
BUSY, IDLE = range(PARTITIONS)
FRAME_SECONDS: Final = 1.0
CANARY_FRAMES: Final = 20
"""As many seconds of frames are canaries: two segments, so that all ages at which one is closed are among them."""
REMOVALS: Final = (26.0, 86.0, 140.0)
"""When templates are removed. The first two times the next heartbeat comes 4 s later, and closes no segment of 5 s."""
TEMPLATES: Final = 3
"""Removed each time."""
DIMENSION: Final = 128
LOOK_SECONDS: Final = 0.2
FOUND_SECONDS: Final = 10.0
"""Templates that are not found by then are removed unseen, and the figures say so."""
FILLER: Final = 1_000
"""Bytes before and after the canary in a frame."""
CONTROL: Final = "frames-by-retention-alone"

Told = Callable[[int, int], None]
"""Called with how many canaries have gone, and how many are to."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One measurement."""

    scale: float = 1.0
    """What every time is multiplied by."""
    nodes: int = 1
    broker: Mapping[str, str] = field(default_factory=dict)
    """Settings of the brokers, over the slowest that are accepted; not scaled."""


def scaled_topic(topic: Topic, scale: float) -> Topic:
    """The topic with all of its times multiplied."""
    config = {
        name: str(max(1, round(int(value) * scale))) if name.endswith(".ms") else value
        for name, value in topic.config.items()
    }
    return msgspec.structs.replace(topic, config=config)


def broker_settings(plan: Plan) -> dict[str, str]:
    """The slowest broker that the doctor lets pass, at the plan's scale."""
    slowest = {
        CHECK_INTERVAL: CHECK_INTERVAL_MS,
        CLEANER_BACKOFF: CLEANER_BACKOFF_MS,
        "log.initial.task.delay.ms": 1000,
    }
    return {
        **{name: str(round(ms * plan.scale)) for name, ms in slowest.items()},
        # allocated ahead for each active segment and full of zeros, they would be most of what is searched
        "log.index.size.max.bytes": "65536",
        **plan.broker,
    }


def measure(plan: Plan, told: Told = lambda _, __: None) -> list[Figure]:
    """Publish canaries to a Kafka of its own and watch its files until all that are to go have gone, or are given up.

    Takes about 170 s at scale 1. Raises BrokerError and ResourceError as the Kafka does.
    """
    with ExitStack() as stack:
        kafka = stack.enter_context(LocalKafka(nodes=plan.nodes, settings=broker_settings(plan)))
        topics = [scaled_topic(topic, plan.scale) for topic in TOPICS]
        connection = Connection(kafka.address, name="lamppost-deletion")
        TopicAdmin(connection).create([*topics, _control(topics)], partitions=PARTITIONS)
        watch = _Watch(plan, connection, [node.folder for node in kafka.nodes.values()])
        stack.callback(watch.close)
        watch.run(told)
        return figures(watch.canaries)


class _Watch:
    """The schedule of what is published, and the search between."""

    def __init__(self, plan: Plan, connection: Connection, folders: list[Path]) -> None:
        self._scale = plan.scale
        self._folders = folders
        self._random = np.random.default_rng()
        self._frames = FrameProducer(connection, topic=FRAMES)
        self._control = FrameProducer(connection, topic=CONTROL)
        self._writer = RecordWriter(connection)
        self._sequence = count()
        self._numbers = count()
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        promised = {topic.name: topic.deletion.within_seconds for topic in TOPICS if topic.deletion is not None}
        pictures, removed = (promised[name] * plan.scale for name in (FRAMES, WATCHLIST))
        self._busy = [self._canary("pictures, partition with traffic", pictures) for _ in range(CANARY_FRAMES)]
        self._idle = [self._canary("pictures, partition that falls silent", pictures) for _ in range(CANARY_FRAMES)]
        self._removed = [
            [WatchlistEntry(f"removed-{group}-{number}", self._template()) for number in range(TEMPLATES)]
            for group in range(len(REMOVALS))
        ]
        self._templates = {
            entry.entry: Canary("removed templates", entry.template.tobytes(), removed)
            for entries in self._removed
            for entry in entries
        }
        self._stays = WatchlistEntry("stays", self._template())
        self._controls = [
            Canary("template that stays on the list (control)", self._stays.template.tobytes(), None),
            self._canary("picture kept by retention.ms alone (control)", None),
        ]
        self.canaries = [*self._busy, *self._idle, *self._templates.values(), *self._controls]

    def run(self, told: Told) -> None:
        """Publish and look until nothing is awaited any more."""
        everyone = [self._stays, *(entry for entries in self._removed for entry in entries)]
        self._writer.write([watchlist.encode(entry, DIMENSION) for entry in everyone])
        for canary in (*self._templates.values(), self._controls[0]):
            canary.published = True
        self._await_templates()
        begun = time.monotonic()
        self._at(begun, self._beat)
        self._at(begun, self._send)
        for seconds, entries in zip(REMOVALS, self._removed, strict=True):
            self._at(begun + seconds * self._scale, partial(self._remove, entries))
        to_go = [canary for canary in self.canaries if canary.promised is not None]
        while any(canary.awaited(time.monotonic()) for canary in to_go):
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                at, _, act = heappop(self._due)
                act(at)
            self._look()
            told(sum(canary.gone_at is not None for canary in to_go), len(to_go))
            wait = min(now + LOOK_SECONDS, self._due[0][0]) - time.monotonic()
            self._frames.serve(max(0.0, wait))
        self._look_back()

    def close(self) -> None:
        """Free what is connected."""
        for each in (self._frames, self._control, self._writer):
            each.close()

    def _at(self, when: float, act: Callable[[float], None]) -> None:
        """Have something done at a monotonic time, which it is told."""
        heappush(self._due, (when, next(self._numbers), act))

    def _await_templates(self) -> None:
        """Until every template is found, since only of one that was there it can be said that it went."""
        templates, until = [*self._templates.values(), self._controls[0]], time.monotonic() + FOUND_SECONDS
        while not all(canary.seen for canary in templates) and time.monotonic() < until:
            self._look()

    def _look(self) -> None:
        """Search for all that may be there: what is not published yet, or has gone, is not looked for."""
        looked_for = [canary for canary in self.canaries if canary.published and canary.gone_at is None]
        there = still_there(self._folders, [canary.content for canary in looked_for])
        now = time.monotonic()
        for canary in looked_for:
            canary.note(canary.content in there, now)

    def _look_back(self) -> None:
        """Search once more for what has gone: nothing may have come back."""
        there = still_there(self._folders, [canary.content for canary in self.canaries])
        for canary in self.canaries:
            if canary.content in there:
                canary.gone_at = None

    def _beat(self, at: float) -> None:
        """As the supervisor of a run does."""
        self._writer.write([watchlist.encode_heartbeat()])
        self._at(at + watchlist.HEARTBEAT_SECONDS * self._scale, self._beat)

    def _send(self, at: float) -> None:
        """A second's frame on every partition; those of the silent one are over when its canaries are."""
        number = next(self._sequence)
        if number < CANARY_FRAMES:
            self._publish(self._frames, BUSY, number, self._busy[number])
            self._publish(self._frames, IDLE, number, self._idle[number])
        else:
            self._publish(self._frames, BUSY, number)
        self._publish(self._control, 0, number, self._controls[1] if number == 0 else None)
        self._control.serve()
        self._at(at + FRAME_SECONDS * self._scale, self._send)

    def _publish(self, producer: FrameProducer, partition: int, number: int, canary: Canary | None = None) -> None:
        filler = self._random.bytes(FILLER)
        jpeg = b"\xff\xd8\xff" + filler + (b"" if canary is None else canary.content) + filler
        if canary is not None:
            canary.published, canary.since = True, time.monotonic()
        producer.send(partition, *frames.encode(Frame(CAMERA, "deletion", number, time.time_ns(), jpeg)))

    def _remove(self, entries: list[WatchlistEntry], _: float) -> None:
        for entry in entries:
            self._templates[entry.entry].since = time.monotonic()
        self._writer.write([watchlist.encode_removal(entry.entry) for entry in entries])

    def _canary(self, what: str, promised: float | None) -> Canary:
        return Canary(what, self._random.bytes(32), promised)

    def _template(self) -> NDArray[np.float32]:
        template = self._random.standard_normal(DIMENSION)
        return (template / np.linalg.norm(template)).astype(np.float32)


def _control(topics: list[Topic]) -> Topic:
    """Frames kept by ``retention.ms`` alone: its active segment is not deleted as long as frames come."""
    (topic,) = (topic for topic in topics if topic.name == FRAMES)
    config = {name: topic.config[name] for name in ("cleanup.policy", "retention.ms", "message.timestamp.type")}
    return msgspec.structs.replace(topic, name=CONTROL, config=config)


def main(
    scale: Annotated[float, typer.Option(min=0.02, max=1.0, help="What every time is multiplied by.")] = 1.0,
    nodes: Annotated[int, typer.Option(help="Nodes of the Kafka, 1 or 3.")] = 1,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", callback=writable, help="Write the figures there.")
    ] = None,
) -> None:
    """Watch canaries go from a Kafka's files; exit code 1 if any was there for longer than is promised."""
    if nodes not in {1, 3}:
        raise typer.BadParameter("1 or 3; of two nodes, as of one, none can be lost", param_hint="--nodes")
    plan = Plan(scale, nodes)
    console = Console(stderr=True)
    try:
        with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console) as progress:
            task = progress.add_task("canaries gone", total=None)
            found = measure(plan, lambda gone, all_: progress.update(task, completed=gone, total=all_))
    except LamppostError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(error.exit_code) from error
    for figure in found:
        print(line(figure))
    reached = all(figure.reached for figure in found)
    print(f"deletion: {'every promise kept' if reached else 'NOT AS PROMISED'} ({nodes} node(s), scale {scale:g})")
    if json is not None:
        run = {"scale": scale, "nodes": nodes, "broker": broker_settings(plan)}
        json.write_bytes(msgspec.json.format(msgspec.json.encode({"run": run, "reached": reached, "figures": found})))
    raise typer.Exit(0 if reached else 1)


if __name__ == "__main__":
    typer.run(main)
