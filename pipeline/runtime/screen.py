"""What a command shows while it works: a live table on a terminal, a line every few seconds elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline.actors.report import WorkReport
from pipeline.cameras.counts import summed
from pipeline.runtime.camera_job import CameraStatus
from pipeline.runtime.live import live_table, milliseconds, total_latency
from pipeline.runtime.pool_news import pool_told
from pipeline.runtime.words import counted, outcomes_told, unusual_told

if TYPE_CHECKING:
    from pipeline.actors.run_plan import RunStatus

LINE_SECONDS = 5.0
"""Between two lines where there is no terminal."""


class Screen:
    """Shows one run; use it with `with`."""

    def __init__(self, console: Console, run: str, seconds: float | None) -> None:
        self._console = console
        self._run = run
        self._seconds = seconds
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._last_words = ""
        self._last_line = 0.0

    def __enter__(self) -> "Screen":
        self._console.print(f"run {self._run}")
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, words: str) -> None:
        """One line of state; repeated words, and counts between two lines, are not printed again."""
        if self._live is not None:
            self._live.update(Text(words, style="dim"))
            return
        subject = words.partition(",")[0].partition(":")[0]
        if subject != self._last_words or time.monotonic() - self._last_line > LINE_SECONDS:
            self._print(words)
            self._last_words = subject

    def tell(self, words: str) -> None:
        """A line that stays, also on a terminal."""
        self._print(words)

    def show(self, work: WorkReport, cameras: CameraStatus | None, status: "RunStatus", alerts: int) -> None:
        """The state of the run."""
        now = time.time()
        began = cameras.start_ns / 1e9 if cameras and cameras.start_ns else now
        counts = cameras.counts if cameras else {}
        note = self._note(status, cameras)
        if self._live is not None:
            if unusual := unusual_told(work.outcomes):
                note = f"{unusual}; {note}"
            self._live.update(live_table(work, counts, max(0.0, now - began), self._seconds, note))
        elif time.monotonic() - self._last_line > LINE_SECONDS:
            p50, p99 = (milliseconds(total_latency(work).quantile(q)) for q in (0.5, 0.99))
            sent = f"{max(0.0, now - began):6.1f} s  sent {summed(counts).sent:,}  " if cameras else ""
            self._print(
                f"{sent}{outcomes_told(work.outcomes)}  faces {work.faces:,}  alerts {alerts}  "
                f"p50 {p50}  p99 {p99}  {note}"
            )

    def _note(self, status: "RunStatus", cameras: CameraStatus | None) -> str:
        there, pool = len(status.workers), status.pool
        workers = counted(there, "worker") if pool is None else pool_told(pool, there)
        shards = len({shard.shard for shard in status.shards})
        parts = [f"{workers}, {counted(shards, 'shard')}"]
        if len(status.shards) > shards:
            parts[0] += f" in {len(status.shards)} replicas"
        if status.replaced:
            parts.append(f"{status.replaced} replaced, last {status.last_replaced}")
        parts += [f"worker-{w.slot}: {w.failure or w.trouble}" for w in status.workers if w.failure or w.trouble]
        parts += [f"{s.name}: {s.failure}" for s in status.shards if s.failure]
        if pool is not None and pool.trouble:
            parts.append(f"pool: {pool.trouble}")
        if cameras is not None and cameras.trouble:
            parts.append(cameras.trouble)
        return "; ".join(parts)

    def _print(self, line: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(line, soft_wrap=True)
