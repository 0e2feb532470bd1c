"""What a command waits for before its run is up, and when it has waited long enough."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.errors import ClusterError

if TYPE_CHECKING:
    from pipeline.actors.run_plan import RunStatus


class StartLimit:
    """Ends a start in which something that is awaited does not get on for `seconds`; times are of one monotonic clock.

    What gets on may take longer: a long watchlist or many streets are no fault. News that were there before are none,
    so a process that dies and comes back again and again does not get on.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._moved: dict[str, float] = {}
        self._seen: dict[str, set[str]] = {}

    def check(self, awaited: Mapping[str, str], now: float) -> None:
        """Take in what is `awaited`, each by its name with the news of it; raises ClusterError naming what is late."""
        for part, news in awaited.items():
            seen = self._seen.setdefault(part, set())
            if news not in seen:
                self._moved[part] = now
                seen.add(news)
        if late := [part for part in awaited if now - self._moved[part] > self._seconds]:
            raise ClusterError(
                f"the start did not get on for {self._seconds:.0f} s (lifecycle.start_seconds); still awaited: "
                f"{listed({part: awaited[part] for part in late})}"
            )


def listed(awaited: Mapping[str, str]) -> str:
    """What is awaited, in a line."""
    return ", ".join(f"{part} ({news})" if news else part for part, news in awaited.items())


def awaited_processes(status: "RunStatus") -> dict[str, str]:
    """The workers and shards of a run that are not up yet, with what they do instead."""
    processes = [(f"worker-{each.slot}", each.state, each.failure) for each in status.workers]
    awaited = {name: failure or state for name, state, failure in processes if state != "running"}
    awaited |= {each.name: each.failure or each.news for each in status.shards if each.state != "running"}
    if status.awaited:
        awaited["workers and shards"] = f"{status.awaited} have not answered yet"
    return awaited
