"""The job behind ``lamppost run``: workers and shards on a Kafka and a Ray of one's own, until interrupted."""

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console

from pipeline.actors.pool_status import PoolStatus
from pipeline.actors.report import WorkReport
from pipeline.errors import RelayedError
from pipeline.runtime.connections import connection_of
from pipeline.runtime.live import milliseconds, total_latency
from pipeline.runtime.names import new_run_name
from pipeline.runtime.pool_news import PoolNews, changes_told
from pipeline.runtime.screen import Screen
from pipeline.runtime.services import services
from pipeline.runtime.settings import Settings
from pipeline.runtime.signals import EndRequest
from pipeline.runtime.startup import StartLimit, awaited_processes, listed
from pipeline.runtime.targets import Targets, machine_address
from pipeline.runtime.topics import require_partitions, require_topics
from pipeline.runtime.words import outcomes_told
from pipeline.streams.probe import probe
from pipeline.telemetry.discovery import serve_discovery

if TYPE_CHECKING:
    from pipeline.actors.run_plan import RunStatus

TICK_SECONDS = 0.5


def run(settings: Settings, verbose: bool) -> int:
    """Join the group and work until the first SIGINT or SIGTERM; then drain, and return 0 if that went well.

    A run of the same name that is there already is adopted: this command shows it, renews its lease, and ends it.
    """
    console = Console(highlight=False)
    name = settings.run.name or new_run_name(time.time_ns())
    connection = connection_of(settings, f"{name}.command")
    probe(connection).require(settings.kafka.group_protocol)
    require_partitions(settings, require_topics(connection))
    targets = Targets(settings.metrics.host, name, machine_address())
    with ExitStack() as stack:
        # first of all, since a port that is taken ends the command
        discovery = serve_discovery(targets.groups, settings.metrics.host, settings.metrics.port)
        stack.callback(discovery.stop)
        end = stack.enter_context(EndRequest(settings.lifecycle.drain_seconds))
        screen = stack.enter_context(Screen(console, name, None))
        up = stack.enter_context(services(settings, screen.say, verbose))
        while not up.ray_ready:
            screen.say("Ray is starting")
            if end.received:
                raise KeyboardInterrupt
            time.sleep(TICK_SECONDS / 5)
        from pipeline.runtime.composition import run_plan  # noqa: PLC0415  # Ray reads its environment when imported
        from pipeline.runtime.supervision import (  # noqa: PLC0415  # as above
            cluster_gpus,
            connected,
            supervised,
        )

        stack.enter_context(connected(up.ray_address, name, verbose))
        plan = run_plan(settings, name, gpus=cluster_gpus(), grows=up.ray is None)
        supervision = stack.enter_context(supervised(plan))
        for line in greeting(settings, name, supervision.adopted, discovery.url):
            screen.tell(line)
        start: StartLimit | None = StartLimit(settings.lifecycle.start_seconds)
        news = PoolNews()
        while not end.received:
            up.check()
            status = supervision.status()
            if status.failure:
                raise RelayedError(status.failure, status.failure_exit_code)
            targets.update(status)
            for line in news.lines(status.pool):
                screen.tell(line)
            if start is not None and (awaited := awaited_processes(status)):
                start.check(awaited, time.monotonic())
                screen.say(f"starting: {listed(awaited)}")
            else:
                start = None  # a process that is replaced later is the supervisor's business
                work = _work(status)
                screen.show(work, None, status, work.alerts)
            time.sleep(TICK_SECONDS)
        screen.say("ending: what is in hand is finished")
        final = supervision.stop(end.left)
    console.print(_farewell(_work(final), final.pool), soft_wrap=True)
    if final.failure:
        raise RelayedError(final.failure, final.failure_exit_code)
    return 0


def _work(status: "RunStatus") -> WorkReport:
    return msgspec.msgpack.decode(status.work, type=WorkReport)


def greeting(settings: Settings, name: str, adopted: bool, url: str) -> list[str]:
    """What the command says first: which run it is, and whose settings it goes by."""
    if not adopted:
        return [
            f"run {name} started, group {settings.run.group} on {settings.kafka.brokers}; metrics are listed at {url}"
        ]
    return [
        f"run {name} adopted; metrics are listed at {url}",
        f"the settings of {name} stay those that it was started with; other settings of this command change nothing",
    ]


def _farewell(work: WorkReport, pool: PoolStatus | None) -> str:
    p50, p99 = (milliseconds(total_latency(work).quantile(q)) for q in (0.5, 0.99))
    line = f"{outcomes_told(work.outcomes)}; {work.alerts} alerts; glass to alert p50 {p50}, p99 {p99}"
    return line if pool is None else f"{line}; the pool {changes_told(pool.grown, pool.shrunk)}"
