"""A fleet of cameras in a process of its own, so that nothing else competes with its clock for the interpreter.

The command's side tells it when to start and when to stop; twice a second it says how far it is. The process ends with
the command, however that ends: its channel is closed by the kernel then.
"""

import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection as Channel
from typing import Any

import msgspec

from pipeline.cameras.plan import FleetPlan
from pipeline.catalog.topics import FRAMES
from pipeline.errors import LamppostError
from pipeline.runtime.camera_job import DRAIN_SECONDS, CameraJob, CameraStatus
from pipeline.runtime.camera_metrics import InstrumentsFactory
from pipeline.streams.client import Connection

STATUS_SECONDS = 0.5
GRACE_SECONDS = 5.0
"""What the process may take to end beyond the drain that it was given."""
EXIT_ORPHANED = 75
"""Exit status of a process whose command is gone (EX_TEMPFAIL of sysexits.h)."""
FINAL = ("ended", "failed")


class Connect(msgspec.Struct, frozen=True):
    """Order: reach out to Kafka."""

    connection: Connection
    topic: str


class Start(msgspec.Struct, frozen=True):
    """Order: send from this instant on."""

    partitions: int
    at_ns: int


class Stop(msgspec.Struct, frozen=True):
    """Order: intend no further frame, drain, end."""

    drain_seconds: float


Order = Connect | Start | Stop


class CameraProcess:
    """The command's side. Made, the process renders; `start` lets it send; `stop` must be called in every case."""

    def __init__(self, plan: FleetPlan, instruments: InstrumentsFactory) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit threads' locks, as librdkafka's
        self._channel, far_end = context.Pipe()
        self._process: Any = context.Process(
            target=run_cameras, args=(plan, instruments, far_end), name="lamppost-cameras", daemon=True
        )
        self._process.start()
        far_end.close()
        self._status = CameraStatus(pid=self.pid)
        self._order_lock = threading.Lock()
        self._listener = threading.Thread(target=self._listen, name="cameras", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self._process.pid)

    def status(self) -> CameraStatus:
        """The latest news, at most a second old; `state` is ended or failed once the process is through."""
        return self._status

    def check(self) -> CameraStatus:
        """The latest news; raises what ended the process if it failed."""
        status = self._status
        if status.failure:
            error = LamppostError(status.failure)
            error.exit_code = status.failure_exit_code
            raise error
        return status

    def connect(self, connection: Connection, topic: str = FRAMES) -> None:
        """Reach out to Kafka, as soon as there is one: while pictures are rendered is a good time."""
        self._order(Connect(connection, topic))

    def start(self, partitions: int, at_ns: int) -> None:
        """Send from the instant `at_ns` on, nanoseconds since the Unix epoch; `partitions` is the number of the topic.

        If pictures are not rendered by then, or Kafka was not reached `LEAD_SECONDS` before, all instants are later:
        `status().start_ns` is what they count from. Comes after `connect`.
        """
        self._order(Start(partitions, at_ns))

    def stop(self, drain_seconds: float = DRAIN_SECONDS) -> CameraStatus:
        """End it: drain within `drain_seconds`, then by force. Returns the last news; may be called again."""
        self._order(Stop(drain_seconds))
        self._listener.join(drain_seconds + GRACE_SECONDS)
        if self._listener.is_alive():
            self._process.kill()
            self._listener.join()
        self._process.join()
        self._channel.close()
        return self._status

    def _order(self, order: Order) -> None:
        with self._order_lock, suppress(OSError):  # a process that has ended needs no order, and its news say why
            self._channel.send(order)

    def _listen(self) -> None:
        """Take in news without pause, so that the process never waits for its reader."""
        try:
            while True:
                self._status = self._channel.recv()
        except (EOFError, OSError):
            if self._status.state not in FINAL:
                self._process.join()
                self._status = msgspec.structs.replace(
                    self._status,
                    state="failed",
                    failure=f"the cameras' process ended unexpectedly (exit status {self._process.exitcode})",
                    failure_exit_code=LamppostError.exit_code,
                )


def run_cameras(plan: FleetPlan, instruments_factory: InstrumentsFactory, channel: Channel) -> None:
    """The process's side: prepare, wait for the order to start, send, drain, say how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the command says when to stop
    side = _ProcessSide(channel)
    try:
        side.serve(plan, instruments_factory)
    except LamppostError as error:
        side.say(state="failed", failure=str(error), failure_exit_code=error.exit_code)
    except Exception as error:
        side.say(state="failed", failure=repr(error), failure_exit_code=LamppostError.exit_code)
        raise


class _ProcessSide:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._say_lock = threading.Lock()
        self._job: CameraJob | None = None
        self._metrics_address = ""
        self._orders = threading.Condition()
        self._start: Start | None = None
        self._refused: LamppostError | None = None
        self._closed = False

    def serve(self, plan: FleetPlan, instruments_factory: InstrumentsFactory) -> None:
        instruments = instruments_factory()
        try:
            self._metrics_address = instruments.address
            job = self._job = CameraJob(plan, instruments.telemetry)
            signal.signal(signal.SIGTERM, lambda *_: self._stop(DRAIN_SECONDS))
            threading.Thread(target=self._converse, args=(job,), name="orders", daemon=True).start()
            job.prepare()
            start = self._awaited_start(job)
            if self._refused is not None:
                raise self._refused
            if start is not None:
                job.run(start.partitions, start.at_ns)
            self.say(state="ended")
        finally:
            instruments.close()

    def say(self, **changes: Any) -> None:
        """Tell the command how it ends; nothing is said after that."""
        status = self._status()
        with self._say_lock, suppress(OSError):
            self._closed = True
            self._channel.send(msgspec.structs.replace(status, **changes))

    def _status(self) -> CameraStatus:
        status = self._job.status() if self._job else CameraStatus(pid=os.getpid())
        return msgspec.structs.replace(status, metrics_address=self._metrics_address)

    def _awaited_start(self, job: CameraJob) -> Start | None:
        with self._orders:
            self._orders.wait_for(lambda: self._start is not None or job.stopping)
            return None if job.stopping else self._start

    def _stop(self, drain_seconds: float) -> None:
        if self._job is not None:
            self._job.stop(drain_seconds)
        with self._orders:
            self._orders.notify()

    def _converse(self, job: CameraJob) -> None:
        try:
            while True:
                if self._channel.poll(STATUS_SECONDS):
                    self._obey(job, self._channel.recv())
                with self._say_lock:
                    if not self._closed:
                        self._channel.send(self._status())
        except (EOFError, OSError):
            # the command is gone, killed perhaps, and nobody is left to account to
            os._exit(EXIT_ORPHANED)

    def _obey(self, job: CameraJob, order: Order) -> None:
        match order:
            case Connect(connection, topic):
                try:
                    job.connect(connection, topic)
                except LamppostError as error:
                    self._refused = error
                    self._stop(0.0)
            case Start():
                with self._orders:
                    self._start = order
                    self._orders.notify()
            case Stop(drain_seconds):
                self._stop(drain_seconds)
