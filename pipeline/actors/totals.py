"""The work of a run: the newest totals of each of its worker processes, also of those that are gone."""

import time

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

    def summed(self, since_second: int) -> bytes:
        """msgpack of the summed `WorkReport`, with the series from `since_second` on."""
        work = merge_reports(list(self._work.values()))
        recent = {second: report for second, report in work.seconds.items() if second >= since_second}
        return msgspec.msgpack.encode(msgspec.structs.replace(work, seconds=recent))
