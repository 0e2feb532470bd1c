"""The work of a run: the newest totals of each of its worker processes, also of those that are gone."""

import time
from collections import Counter
from collections.abc import Mapping

import msgspec

from pipeline.actors.report import SECONDS_KEPT, WorkReport, merge_reports
from pipeline.actors.vision_worker import WorkerStatus


class Totals:
    """Takes statuses in and sums them up; not thread-safe by itself."""

    def __init__(self) -> None:
        self._work: dict[tuple[int, int], WorkReport] = {}

    def take_in(self, status: WorkerStatus | None) -> None:
        """Keep the totals in a status; its series, which has the latest seconds alone, goes on from the one before."""
        if status is None or not status.work:
            return
        work = msgspec.msgpack.decode(status.work, type=WorkReport)
        known = self._work.get((status.slot, status.pid))
        if known is not None:
            oldest = int(time.time()) - SECONDS_KEPT
            earlier = {second: report for second, report in known.seconds.items() if second >= oldest}
            work.seconds = earlier | work.seconds
        self._work[(status.slot, status.pid)] = work

    def outcomes(self) -> Mapping[str, int]:
        """Frames by outcome, of all processes."""
        counts: Counter[str] = Counter()
        for work in self._work.values():
            counts.update(work.outcomes)
        return counts

    def oldest(self, since_second: int) -> float | None:
        """The greatest queue age of the frames that were committed since then, seconds; None if there were none."""
        ages = [
            report.queue_age.greatest
            for work in self._work.values()
            for second, report in work.seconds.items()
            if second >= since_second and report.queue_age.count
        ]
        return max(ages, default=None)

    def summed(self, since_second: int) -> bytes:
        """msgpack of the summed `WorkReport`, with the series from `since_second` on."""
        work = merge_reports(list(self._work.values()))
        recent = {second: report for second, report in work.seconds.items() if second >= since_second}
        return msgspec.msgpack.encode(msgspec.structs.replace(work, seconds=recent))
