"""The work of a run: the newest totals of each of its worker processes, also of those that are gone."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from pipeline.actors.report import SECONDS_KEPT, SecondReport, WorkReport, merge_reports
from pipeline.actors.vision_worker import WorkerStatus


@dataclass
class _Latest:
    """The newest totals of one slot's latest process."""

    process: tuple[str, int]
    """Node and process id; ids are a node's own."""
    work: WorkReport


class Totals:
    """Takes statuses in and sums them up; not thread-safe by itself.

    Keeps one report per slot and one for all processes whose slot has another process by now, however many they were.
    """

    def __init__(self) -> None:
        self._latest: dict[int, _Latest] = {}
        self._gone = WorkReport()

    def take_in(self, status: WorkerStatus | None) -> None:
        """Keep the totals in a status; its series, which has the latest seconds alone, goes on from the one before."""
        if status is None or not status.work:
            return
        process = (status.node, status.pid)
        work = msgspec.msgpack.decode(status.work, type=WorkReport)
        known = self._latest.get(status.slot)
        if known is not None and known.process == process:
            work.seconds = _since(known.work, int(time.time()) - SECONDS_KEPT) | work.seconds
        elif known is not None:
            gone = merge_reports([self._gone, known.work])
            gone.seconds = _since(gone, int(time.time()) - SECONDS_KEPT)
            self._gone = gone
        self._latest[status.slot] = _Latest(process, work)

    def outcomes(self) -> Mapping[str, int]:
        """Frames by outcome, of all processes."""
        counts: Counter[str] = Counter()
        for work in self._all():
            counts.update(work.outcomes)
        return counts

    def oldest(self, since_second: int) -> float | None:
        """The greatest queue age of the frames that were committed since then, seconds; None if there were none."""
        ages = [
            report.queue_age.greatest
            for work in self._all()
            for report in _since(work, since_second).values()
            if report.queue_age.count
        ]
        return max(ages, default=None)

    def summed(self, since_second: int) -> bytes:
        """msgpack of the summed `WorkReport`, with the series from `since_second` on."""
        recent = [msgspec.structs.replace(work, seconds=_since(work, since_second)) for work in self._all()]
        return msgspec.msgpack.encode(merge_reports(recent))

    def _all(self) -> Iterator[WorkReport]:
        yield self._gone
        yield from (latest.work for latest in self._latest.values())


def _since(work: WorkReport, second: int) -> dict[int, SecondReport]:
    return {each: report for each, report in work.seconds.items() if each >= second}
