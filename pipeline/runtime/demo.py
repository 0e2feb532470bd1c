"""The job behind ``lamppost demo``: the whole system on this machine, on a street of people who do not exist."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec
import psutil
from rich.console import Console

from pipeline.actors.report import SecondReport, WorkReport
from pipeline.cameras.counts import summed
from pipeline.cameras.plan import FleetPlan
from pipeline.catalog.outcomes import Outcome
from pipeline.catalog.topics import FRAMES
from pipeline.errors import CustodyError, RelayedError
from pipeline.local.lock import read_lock
from pipeline.local.machine import tree_pss
from pipeline.records import WatchlistEntry
from pipeline.runtime.camera_metrics import CameraInstruments
from pipeline.runtime.camera_process import CameraProcess
from pipeline.runtime.cameras import described
from pipeline.runtime.connections import connection_of
from pipeline.runtime.enrolment import Enrolment
from pipeline.runtime.finished import Finished
from pipeline.runtime.memory import MemoryPeak
from pipeline.runtime.names import new_run_name
from pipeline.runtime.screen import Screen
from pipeline.runtime.services import Services, services
from pipeline.runtime.settings import Settings
from pipeline.runtime.signals import EndRequest
from pipeline.runtime.summary import require_folder
from pipeline.runtime.taps import AlertTap, CustodyAudit
from pipeline.runtime.targets import Targets
from pipeline.runtime.topics import create
from pipeline.streams.client import Connection
from pipeline.streams.groups import begin_at
from pipeline.streams.probe import probe
from pipeline.streams.writer import RecordWriter
from pipeline.telemetry.discovery import serve_discovery
from pipeline.wire import watchlist as watchlist_wire

if TYPE_CHECKING:
    from pipeline.actors.supervisor import RunStatus
    from pipeline.runtime.supervision import Supervision

TICK_SECONDS = 0.25
LEAD_SECONDS = 0.5
"""From the word to start to the first intended instant, so that the order arrives in time."""
STALL_SECONDS = 15.0
"""Frames that are still unaccounted for when nothing moved for as long are given up."""
INTERRUPTED = 130


def demo(settings: Settings, verbose: bool) -> int:
    """Run the demo, write its results into `demo.out`, and return the exit code.

    0 if all went as it should, 8 if custody does not balance or a part failed, 130 if it was interrupted (it drains
    then, and writes its results all the same).
    """
    console = Console(highlight=False)
    require_folder(settings.demo.out)
    run = settings.run.name or new_run_name(time.time_ns())
    with EndRequest() as end, MemoryPeak(tree_pss) as memory:
        with Screen(console, run, settings.demo.seconds) as screen, services(settings, screen.say, verbose) as up:
            outcome = _Demonstration(run, up, screen, end).through(verbose)
        from pipeline.runtime.demo_results import report, write_results  # noqa: PLC0415  # plots take a second to import

        summary = write_results(outcome, memory.bytes)
    report(summary, settings.demo.out, console)
    if end.received:
        return INTERRUPTED
    return 0 if summary.ok else CustodyError.exit_code


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
            self._cameras = CameraProcess(plan, _instruments(settings, plan))
            stack.callback(self._cameras.stop)
            enrolment = Enrolment(settings.cameras.seed, settings.demo.watchlist_size, settings.vision.embedder_model)
            stack.callback(enrolment.stop)
            self._wait(lambda: self._up.kafka_ready, lambda: "Kafka and Ray are starting")
            settings = _for_this_run(self._up.settings, self._run)
            connection = connection_of(settings, "lamppost-demo")
            create(settings)
            self._cameras.connect(connection)
            audit = CustodyAudit(connection, self._run)
            begin_at(connection, settings.run.group, FRAMES, audit.frame_starts)
            self._wait(lambda: self._up.ray_ready, lambda: "Ray is starting")
            from pipeline.runtime.composition import run_plan  # noqa: PLC0415  # Ray reads its environment when imported
            from pipeline.runtime.supervision import supervised  # noqa: PLC0415  # as above

            supervision = stack.enter_context(supervised(run_plan(settings, self._run), self._up.ray_address, verbose))
            self._end.install()
            self._bring_up(supervision, connection, enrolment)
            self._targets = Targets(settings.metrics.host, self._run)
            discovery = serve_discovery(self._targets.groups, settings.metrics.host, settings.metrics.port)
            stack.callback(discovery.stop)
            self._screen.say(f"metrics are listed at {discovery.url}")
            tap = AlertTap(connection, self._run)
            self._cameras.start(len(audit.frame_starts), time.time_ns() + int(LEAD_SECONDS * 1e9))
            self._watch(supervision, tap)
            final = supervision.stop(settings.lifecycle.drain_seconds)
            alerts = tap.finish()
            return Finished(
                settings=settings,
                run=self._run,
                cameras=self._cameras.stop(),
                plan=plan,
                work=self._work(final),
                replaced=final.replaced,
                custody=audit.findings(),
                alerts=alerts,
                first_alert_seconds=_since_start(tap.first_read),
                kafka=_release(self._up, connection),
            )

    def _bring_up(self, supervision: "Supervision", connection: Connection, enrolment: Enrolment) -> None:
        """Wait for the watchlist, the streets, the workers and the shards, each of which comes up by itself."""
        published = False

        def pending() -> list[str]:
            nonlocal published
            if enrolment.complete and not published:
                publish(connection, enrolment.entries)
                enrolment.stop()
                published = True
            cameras = self._cameras.check()
            waiting = []
            if not published:
                waiting.append(f"watchlist ({enrolment.done} people)")
            if cameras.state == "preparing":
                waiting.append(f"streets ({cameras.rendered} of {cameras.to_render} pictures)")
            if not _serving(supervision.status(), len(enrolment.entries)):
                waiting.append("workers and shards")
            return waiting

        self._wait(lambda: not pending(), lambda: f"starting: {', '.join(pending())}")

    def _wait(self, ready: Callable[[], bool], what: Callable[[], str]) -> None:
        while not ready():
            if self._end.received:
                raise KeyboardInterrupt
            self._up.check()
            self._cameras.check()
            self._screen.say(what())
            time.sleep(TICK_SECONDS / 5)

    def _watch(self, supervision: "Supervision", tap: AlertTap) -> None:
        """Show the run until every frame that was sent is accounted for, or nothing moves any more."""
        accounted, moved = -1, time.monotonic()
        while True:
            self._up.check()
            status = supervision.status()
            if status.failure:
                raise RelayedError(status.failure, status.failure_exit_code)
            if self._end.received:
                self._screen.say("ending: the cameras stop, and what is in hand is finished")
                self._cameras.stop()
            cameras = self._cameras.check()
            self._targets.update(status, cameras.metrics_address)
            work = self._work(status)
            self._screen.show(work, cameras, status, len(tap.alerts))
            done = consumed(work)
            if done > accounted:
                accounted, moved = done, time.monotonic()
            stalled = time.monotonic() - moved > STALL_SECONDS
            if cameras.state == "ended" and (done >= summed(cameras.counts).sent or stalled):
                return
            time.sleep(TICK_SECONDS)

    def _work(self, status: "RunStatus") -> WorkReport:
        """The run's totals with the whole series so far; a status carries the latest seconds alone."""
        work = msgspec.msgpack.decode(status.work, type=WorkReport)
        self._seconds |= work.seconds
        return msgspec.structs.replace(work, seconds=self._seconds)


def consumed(work: WorkReport) -> int:
    """Records that have an outcome."""
    return sum(count for outcome, count in work.outcomes.items() if outcome != Outcome.EXPIRED)


def publish(connection: Connection, entries: Sequence[WatchlistEntry]) -> None:
    """Put entries on the watchlist topic."""
    writer = RecordWriter(connection)
    try:
        writer.write([watchlist_wire.encode(entry, len(entry.template)) for entry in entries])
    finally:
        writer.close()


def _instruments(settings: Settings, plan: FleetPlan) -> CameraInstruments:
    return CameraInstruments(settings.metrics.host, settings.metrics.per_camera_limit, len(plan.cameras))


def _for_this_run(settings: Settings, run: str) -> Settings:
    """With a group of its own, so that a demo on somebody's Kafka takes no work from others and leaves it none."""
    return settings.model_copy(update={"run": settings.run.model_copy(update={"name": run, "group": run})})


def _serving(status: "RunStatus", entries: int) -> bool:
    if status.failure:
        raise RelayedError(status.failure, status.failure_exit_code)
    return status.ready and sum(shard.entries for shard in status.shards) >= entries


def _release(up: Services, connection: Connection) -> str:
    """Kafka's release: the local one's own, else what its API versions point to."""
    if up.kafka is not None:
        return read_lock().version
    release = probe(connection).release
    return "unknown" if release is None else f"{release} or later"


def _since_start(instant: float | None) -> float | None:
    return None if instant is None else instant - psutil.Process().create_time()
