"""The command's side of a run: reaches Ray, starts or adopts the supervisor, renews its lease, asks, and ends it."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError

from pipeline.actors.supervisor import SUPERVISOR, RunPlan, RunStatus, Supervisor
from pipeline.errors import ClusterError

RENEWALS_PER_LEASE = 8
ANSWER_SECONDS = 10.0


@contextmanager
def connected(address: str, namespace: str, verbose: bool) -> Iterator[None]:
    """A connection to the Ray cluster at `address`; raises ClusterError naming it if there is none."""
    try:
        ray.init(
            address=address,
            namespace=namespace,
            log_to_driver=verbose,
            configure_logging=verbose,
            logging_level=logging.INFO if verbose else logging.CRITICAL,
        )
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise ClusterError(
            f"Ray at {address} cannot be reached ({_first_line(error)}); check run.ray, or leave it out for a local Ray"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


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
        self._last: RunStatus | None = None
        threading.Thread(target=self._renew, name="renew", daemon=True).start()

    def status(self) -> RunStatus | None:
        """The run's latest status with the last ten seconds of its series; None before the supervisor first answered.

        A supervisor that is being restarted is waited for within its lease; raises ClusterError after that.
        """
        deadline = time.monotonic() + self._plan.lease_seconds
        while True:
            try:
                self._last = ray.get(self._actor.status.remote(int(time.time()) - 10), timeout=ANSWER_SECONDS)
            except RayError as error:
                if time.monotonic() > deadline:
                    raise ClusterError(f"the supervisor does not answer: {_first_line(error)}") from error
                self._ended.wait(0.2)
            else:
                return self._last

    def wait_ready(self, deadline_seconds: float, going_on: Callable[[RunStatus | None], None]) -> RunStatus:
        """Wait until every worker consumes and every shard serves; `going_on` is called while waiting and may raise.

        Raises ClusterError when the deadline passes or the run cannot go on.
        """
        deadline = time.monotonic() + deadline_seconds
        while True:
            status = self.status()
            going_on(status)
            if status is not None and status.failure:
                raise failure_of(status)
            if status is not None and status.ready:
                return status
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"run {self._plan.run} was not ready within {deadline_seconds:.0f} s "
                    f"(lifecycle.start_seconds): {_waiting_for(status)}"
                )
            time.sleep(0.1)

    def stop(self, drain_seconds: float) -> RunStatus | None:
        """Drain and end the run's processes, the supervisor last; the final status."""
        try:
            return ray.get(self._actor.stop.remote(drain_seconds), timeout=drain_seconds + 15.0)  # type: ignore[no-any-return]  # ray is untyped
        except RayError as error:
            raise ClusterError(f"run {self._plan.run} did not end in time: {_first_line(error)}") from error
        finally:
            self._ended.set()
            ray.kill(self._actor, no_restart=True)

    def _renew(self) -> None:
        while not self._ended.wait(self._plan.lease_seconds / RENEWALS_PER_LEASE):
            self._actor.renew.remote()


def failure_of(status: RunStatus) -> ClusterError:
    """The error of a run that cannot go on, with the exit code of its cause."""
    error = ClusterError(status.failure)
    error.exit_code = status.failure_exit_code
    return error


def _exists(run: str) -> bool:
    try:
        ray.get_actor(SUPERVISOR, namespace=run)
    except ValueError:
        return False
    return True


def _waiting_for(status: RunStatus | None) -> str:
    if status is None:
        return "the supervisor has not answered"
    parts = [f"worker-{worker.slot} is {worker.state}" for worker in status.workers if worker.state != "running"]
    parts += [f"shard-{shard.shard} is {shard.state}" for shard in status.shards if shard.state != "running"]
    return ", ".join(parts) or "not every process has answered"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
