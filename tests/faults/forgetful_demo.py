"""``lamppost demo`` whose workers each forget the receipt of their first batch; takes the command's arguments."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pipeline.catalog.topics import CUSTODY
from pipeline.cli.app import main
from pipeline.records import OutgoingRecord
from pipeline.runtime import demo, draining
from pipeline.runtime.services import Services, services
from pipeline.streams.outbox import KafkaOutbox


class ForgetfulOutbox(KafkaOutbox):
    """Commits the first batch without its receipt."""

    remembers = False

    def commit(self, records: Sequence[OutgoingRecord], offsets: Mapping[int, int], membership: Any) -> None:
        """See the port."""
        kept = [record for record in records if self.remembers or record.topic != CUSTODY]
        self.remembers = True
        super().commit(kept, offsets, membership)


class Forgetful:
    """Makes a worker that forgets; this file is not there in its process, so all of it travels whole."""

    def __init__(self, make_worker: Callable[[int], Any]) -> None:
        self._make_worker = make_worker

    def __call__(self, slot: int) -> Any:
        """The parts of the worker in `slot`."""
        from pipeline.runtime import composition  # noqa: PLC0415  # it is patched in the worker's process alone

        composition.KafkaOutbox = ForgetfulOutbox  # type: ignore[misc]  # the point of it
        return self._make_worker(slot)


@contextmanager
def with_forgetful_workers(*arguments: Any) -> Iterator[Services]:
    """The command's services; once Ray's environment is set, the plan of its run can be changed."""
    with services(*arguments) as up:
        from pipeline.runtime import composition  # noqa: PLC0415  # imports Ray

        run_plan = composition.run_plan

        def forgetful_plan(*settings: Any, **options: Any) -> Any:
            plan = run_plan(*settings, **options)
            return replace(plan, make_worker=Forgetful(plan.make_worker))

        composition.run_plan = forgetful_plan
        yield up


if __name__ == "__main__":
    demo.services = with_forgetful_workers
    draining.STALL_SECONDS = 2.0  # type: ignore[misc]  # what is forgotten never comes
    main()
