"""The job behind ``lamppost demo``: the whole system on this machine, on a street of people who do not exist."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec
import psutil
from rich.console import Console

from pipeline.actors.report import SecondReport, WorkReport
from pipeline.cameras.plan import FleetPlan
from pipeline.catalog.topics import FRAMES
from pipeline.errors import BrokerError, LamppostError, RelayedError
from pipeline.local.lock import read_lock
from pipeline.local.machine import tree_pss
from pipeline.runtime.camera_metrics import CameraInstruments
from pipeline.runtime.camera_process import CameraProcess
from pipeline.runtime.cameras import described
from pipeline.runtime.connections import connection_of
from pipeline.runtime.demo_watchlist import DemoWatchlist
from pipeline.runtime.draining import Draining, tidying_seconds
from pipeline.runtime.enrolment import Enrolment
from pipeline.runtime.finished import Finished
from pipeline.runtime.memory import MemoryPeak
from pipeline.runtime.names import new_run_name
from pipeline.runtime.pool_news import PoolNews
from pipeline.runtime.screen import Screen
from pipeline.runtime.services import Services, services
from pipeline.runtime.settings import Settings
from pipeline.runtime.signals import EndRequest
from pipeline.runtime.startup import StartLimit, awaited_processes, listed
from pipeline.runtime.summary import require_folder
from pipeline.runtime.taps import READ_BACK_SECONDS, AlertTap, CustodyAudit
from pipeline.runtime.targets import Targets, machine_address
from pipeline.runtime.topics import create, require_partitions, require_topics
from pipeline.streams.client import Connection
from pipeline.streams.groups import begin_at
from pipeline.streams.probe import probe
from pipeline.streams.writer import DELIVERY_SECONDS
from pipeline.telemetry.discovery import serve_discovery

if TYPE_CHECKING:
    from pipeline.actors.run_plan import RunStatus
    from pipeline.runtime.supervision import Supervision

TICK_SECONDS = 0.25
LEAD_SECONDS = 0.5
"""From the word to start to the first intended instant, so that the order arrives in time."""
INTERRUPTED = 130


def demo(settings: Settings, verbose: bool) -> int:
    """Run the demo, write its results into `demo.out`, and return the exit code.

    0 if all went as it should, 8 if custody does not balance, the code of the failure if a part failed at the end, 130
    if it was interrupted (it drains then, within ``lifecycle.drain_seconds``, and writes its results all the same).
    """
    console = Console(highlight=False)
    require_folder(settings.demo.out)
    run = settings.run.name or new_run_name(time.time_ns())
    with EndRequest(settings.lifecycle.drain_seconds) as end, MemoryPeak(tree_pss) as memory:
        with Screen(console, run, settings.demo.seconds) as screen, services(settings, screen.say, verbose) as up:
            outcome = _Demonstration(run, up, screen, end).through(verbose)
        from pipeline.runtime.demo_results import (  # noqa: PLC0415  # plots take a second to import
            exit_code,
            write_results,
        )

        summary = write_results(outcome, memory.bytes, console)
    return INTERRUPTED if end.received else exit_code(outcome, summary)


class _Demonstration:
    """One demo; every wait looks at the parts' health and at the request to end."""

    def __init__(self, run: str, up: Services, screen: Screen, end: EndRequest) -> None:
        self._run = run
        self._up = up
        self._screen = screen
        self._end = end
        self._seconds: dict[int, SecondReport] = {}

    def through(self, verbose: bool) -> Finished:
        """Bring everything up, send, drain, and take down again what `services` does not."""
        settings = self._up.settings
        plan = FleetPlan(described(settings), settings.demo.seconds)
        with ExitStack() as stack:
            # first of all, since a port that is taken ends the command
            self._targets = Targets(settings.metrics.host, self._run, machine_address())
            discovery = serve_discovery(self._targets.groups, settings.metrics.host, settings.metrics.port)
            stack.callback(discovery.stop)
            self._cameras = CameraProcess(plan, _instruments(settings, plan))
            stack.callback(self._cameras.stop)
            vision, size = settings.vision, settings.demo.watchlist_size
            enrolment = Enrolment(settings.cameras.seed, size, vision.embedder_model, vision.folder)
            stack.callback(enrolment.stop)
            self._wait(lambda: {} if self._up.kafka_ready else {"Kafka": "", **self._awaited_ray()})
            settings = _for_this_run(self._up.settings, self._run)
            connection = connection_of(settings, "lamppost-demo")
            create(settings)
            require_partitions(settings, require_topics(connection))
            self._cameras.connect(connection)
            self._audit = CustodyAudit(connection, self._run)
            stack.callback(self._audit.close)
            begin_at(connection, settings.run.group, FRAMES, self._audit.frame_starts)
            self._wait(self._awaited_ray)
            from pipeline.runtime.composition import run_plan  # noqa: PLC0415  # Ray reads its environment when imported
            from pipeline.runtime.supervision import (  # noqa: PLC0415  # as above
                cluster_gpus,
                connected,
                supervised,
            )

            stack.enter_context(connected(self._up.ray_address, self._run, verbose))
            gpus, grows = cluster_gpus(), self._up.ray is None
            supervision = stack.enter_context(supervised(run_plan(settings, self._run, gpus=gpus, grows=grows)))
            watchlist = DemoWatchlist(connection)
            stack.callback(self._tidy, watchlist)
            self._bring_up(supervision, watchlist, enrolment)
            self._screen.tell(f"metrics are listed at {discovery.url}")
            tap = AlertTap(connection, self._run)
            self._cameras.start(len(self._audit.frame_starts), time.time_ns() + int(LEAD_SECONDS * 1e9))
            self._watch(supervision, tap)
            final = supervision.stop(self._end.left)
            alerts = tap.finish(self._within(READ_BACK_SECONDS))
            custody = self._audit.findings(self._within(READ_BACK_SECONDS))
            return Finished(
                settings=settings,
                run=self._run,
                cameras=self._cameras.stop(),
                plan=plan,
                work=self._work(final),
                pool=final.pool,
                replaced=final.replaced,
                last_replaced=final.last_replaced,
                custody=custody,
                alerts=alerts,
                first_alert_seconds=_since_start(tap.first_read),
                kafka=_release(self._up, connection),
                failures=tuple(failure for failure in (_failure(final), self._tidied(watchlist)) if failure),
            )

    def _bring_up(self, supervision: "Supervision", watchlist: DemoWatchlist, enrolment: Enrolment) -> None:
        """Wait for the watchlist, the streets, the workers and the shards, each of which comes up by itself."""

        def awaited() -> dict[str, str]:
            if enrolment.complete and not watchlist.published:
                watchlist.publish(enrolment.entries)
                enrolment.stop()
            cameras = self._cameras.check()
            waiting = {}
            if not watchlist.published:
                waiting["watchlist"] = f"{enrolment.done} people"
            if cameras.state == "preparing":
                waiting["streets"] = f"{cameras.rendered} of {cameras.to_render} pictures"
            status = supervision.status()
            if status.failure:
                raise RelayedError(status.failure, status.failure_exit_code)
            return waiting | awaited_processes(status) | watchlist.awaited(status)

        self._wait(awaited, StartLimit(self._up.settings.lifecycle.start_seconds))

    def _wait(self, awaited: Callable[[], Mapping[str, str]], limit: StartLimit | None = None) -> None:
        """Wait until nothing is awaited any more; Kafka and Ray have limits of their own."""
        while waiting := awaited():
            if self._end.received:
                raise KeyboardInterrupt
            self._up.check()
            self._cameras.check()
            if limit is not None:
                limit.check(waiting, time.monotonic())
            self._screen.say(f"starting: {listed(waiting)}")
            time.sleep(TICK_SECONDS / 5)

    def _awaited_ray(self) -> dict[str, str]:
        return {} if self._up.ray_ready else {"Ray": ""}

    def _watch(self, supervision: "Supervision", tap: AlertTap) -> None:
        """Show the run until every frame that was sent is accounted for, or nothing moves any more, or time is up."""
        draining = Draining(self._up.settings.lifecycle.drain_seconds)
        news = PoolNews()
        while True:
            self._up.check()
            status = supervision.status(self._end.left)
            if status.failure:
                raise RelayedError(status.failure, status.failure_exit_code)
            if self._end.received:
                self._screen.say("ending: the cameras stop, and what is in hand is finished")
                self._cameras.stop(draining.cameras_seconds(self._end.left))
            cameras = self._cameras.check()
            self._targets.update(status, cameras.metrics_address)
            for line in news.lines(status.pool):
                self._screen.tell(line)
            self._screen.show(self._work(status), cameras, status, len(tap.alerts))
            if cameras.state == "ended" and draining.over(self._audit.missing(), self._end.left, time.monotonic()):
                return
            time.sleep(TICK_SECONDS)

    def _within(self, seconds: float) -> float:
        return tidying_seconds(self._end.left, seconds, bool(self._end.received))

    def _tidied(self, watchlist: DemoWatchlist) -> BrokerError | None:
        """Take the demo's people off a watchlist that stays, and return why that failed, if it did."""
        if self._up.kafka is not None:
            return None  # it goes with everything on it
        try:
            watchlist.withdraw(self._within(DELIVERY_SECONDS))
        except BrokerError as error:
            return error
        return None

    def _tidy(self, watchlist: DemoWatchlist) -> None:
        """The same when the demo is ending with an error, which must not be hidden by this one."""
        if failure := self._tidied(watchlist):
            self._screen.tell(f"problem: {failure}")

    def _work(self, status: "RunStatus") -> WorkReport:
        """The run's totals with the whole series so far; a status carries the latest seconds alone."""
        work = msgspec.msgpack.decode(status.work, type=WorkReport)
        self._seconds |= work.seconds
        return msgspec.structs.replace(work, seconds=self._seconds)


def _instruments(settings: Settings, plan: FleetPlan) -> CameraInstruments:
    return CameraInstruments(settings.metrics.host, settings.metrics.per_camera_limit, len(plan.cameras))


def _for_this_run(settings: Settings, run: str) -> Settings:
    """With a group of its own, so that a demo on somebody's Kafka takes no work from others and leaves it none."""
    return settings.model_copy(update={"run": settings.run.model_copy(update={"name": run, "group": run})})


def _failure(final: "RunStatus") -> LamppostError | None:
    return RelayedError(final.failure, final.failure_exit_code) if final.failure else None


def _release(up: Services, connection: Connection) -> str:
    """Kafka's release: the local one's own, else what its API versions point to."""
    if up.kafka is not None:
        return read_lock().version
    release = probe(connection).release
    return "unknown" if release is None else f"{release} or later"


def _since_start(instant: float | None) -> float | None:
    return None if instant is None else instant - psutil.Process().create_time()
