"""The command's side of a run: reaches Ray, starts or adopts the supervisor, renews its lease, asks, and ends it."""

import logging
import math
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import ray
from ray._private import worker
from ray.exceptions import RayError

from pipeline.actors.parcel import collect
from pipeline.actors.run_plan import RunPlan, RunStatus
from pipeline.actors.supervisor import SUPERVISOR, Supervisor
from pipeline.errors import ClusterError

RENEWALS_PER_LEASE = 8
ANSWER_SECONDS = 10.0
CONNECT_SECONDS = 5.0
"""In which a Ray has to take a connection; Ray itself would try for minutes and hear no signal meanwhile."""


@contextmanager
def connected(address: str, namespace: str, verbose: bool) -> Iterator[None]:
    """A connection to the Ray cluster at `address`; raises ClusterError naming it if there is none.

    The handler of SIGTERM is the caller's again inside the block; a SIGTERM while it connects is a KeyboardInterrupt.
    """
    _require_listener(address)
    if not verbose:
        _silence_reports()
    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
    try:
        ray.init(
            address=address,
            namespace=namespace,
            log_to_driver=verbose,
            configure_logging=verbose,
            logging_level=logging.INFO if verbose else logging.CRITICAL,
        )
        signal.signal(signal.SIGTERM, before)
    except SystemExit as error:
        # Ray puts a handler of its own in place that exits with the signal's number
        raise KeyboardInterrupt from error
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise ClusterError(
            f"Ray at {address} cannot be reached ({_first_line(error)}); check run.ray, or leave it out for a local Ray"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, before)
    try:
        yield
    finally:
        ray.shutdown()


def _silence_reports() -> None:
    """Keep Ray from printing what its nodes report of processes that died.

    That goes to standard output, with the end of a node's log, whatever ``log_to_driver`` says, and Ray has no switch
    for it. The supervisor says in a line who was replaced and why.
    """
    worker.print_to_stdstream = lambda *_, **__: None


def _require_listener(address: str) -> None:
    """Raise ClusterError if nothing takes a connection at HOST:PORT; other forms of address are Ray's to judge."""
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"Ray at {address} cannot be reached ({_first_line(error)}); check run.ray, or leave it out for a local Ray"
        ) from error


def cluster_gpus() -> int:
    """GPUs of the cluster that this process is connected to."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray's gap
    return int(resources.get("GPU", 0.0))


class Supervision:
    """A running supervisor and the lease that this command renews for it."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self.adopted = _exists(plan.run)
        try:
            self._actor: Any = (
                ray.remote(Supervisor)
                .options(
                    name=SUPERVISOR,
                    namespace=plan.run,
                    lifetime="detached",
                    get_if_exists=True,
                    max_restarts=-1,
                    max_concurrency=8,
                    num_cpus=0,
                )
                .remote(plan)
            )
        except RayError as error:
            raise ClusterError(f"the supervisor of run {plan.run} cannot be started: {_first_line(error)}") from error
        self._ended = threading.Event()
        threading.Thread(target=self._renew, name="renew", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether stop() has been called."""
        return self._ended.is_set()

    def status(self, patience: float = math.inf) -> RunStatus:
        """The run's latest status, with the last ten seconds of its series.

        A supervisor that is being restarted is waited for within its lease, and within `patience` seconds; raises
        ClusterError after that.
        """
        deadline = time.monotonic() + min(self._plan.lease_seconds, patience)
        answer = max(0.1, min(ANSWER_SECONDS, patience))
        while True:
            try:
                status = self._heard(self._actor.report.remote(int(time.time()) - 10), answer)
            except (RayError, ClusterError) as error:
                if time.monotonic() > deadline:
                    raise ClusterError(f"the supervisor does not answer: {_first_line(error)}") from error
                self._ended.wait(0.2)
            else:
                return status

    def stop(self, drain_seconds: float) -> RunStatus:
        """Drain and end the run's processes, the supervisor last; the final status."""
        try:
            final = self._heard(self._actor.stop.remote(drain_seconds), drain_seconds + 15.0)
        except (RayError, ClusterError) as error:
            raise ClusterError(f"run {self._plan.run} did not end in time: {_first_line(error)}") from error
        finally:
            self._ended.set()
            ray.kill(self._actor, no_restart=True)
        return final

    def _heard(self, reply: Any, timeout: float) -> RunStatus:
        return msgspec.msgpack.decode(collect(self._actor, reply, timeout), type=RunStatus)

    def _renew(self) -> None:
        while not self._ended.wait(self._plan.lease_seconds / RENEWALS_PER_LEASE):
            self._actor.renew.remote()


@contextmanager
def supervised(plan: RunPlan) -> Iterator[Supervision]:
    """A run on the Ray that is connected, started or adopted; it is ended with the block if that did not end it."""
    supervision = Supervision(plan)
    try:
        yield supervision
    except BaseException as cause:
        try:
            _end(supervision)
        except ClusterError as error:
            cause.add_note(str(error))  # what ended the block is the command's message, not that the end went badly
        raise
    _end(supervision)


def _end(supervision: Supervision) -> None:
    if not supervision.ended:
        supervision.stop(0.0)


def _exists(run: str) -> bool:
    try:
        ray.get_actor(SUPERVISOR, namespace=run)
    except ValueError:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
