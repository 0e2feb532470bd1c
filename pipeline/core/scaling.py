"""How many workers an elastic pool has: more when frames wait, fewer when fewer carry the load.

What is judged is how long a frame waits, in seconds, since a worker's pace differs a hundredfold between machines. Two
thresholds, two windows and one number keep a steady load from flapping:

- The pool grows when most observations of a fifth of an interval found it *behind*: frames waited longer than the
  target, or were shed. It shrinks when every observation of two intervals found it *calm*: no frame waited longer than
  half the target, and none was shed. Between the two nothing happens.
- A calm pool says nothing about a smaller one, which may fall behind at once. So the rule keeps the *pace*, the frames
  per second that one worker processed when the pool was behind last, and shrinks to no fewer workers than carry the
  greatest rate of those two intervals at `RELIEF` of it.
- Nothing changes within an interval of the last change, whatever happens.
"""

from collections import deque
from math import ceil
from typing import Final

import msgspec

RISE: Final = 0.2
"""The pool has to be behind for as long before it grows; share of an interval."""
FALL: Final = 2.0
"""The pool has to be calm for as long before it shrinks; intervals."""
CALM: Final = 0.5
"""A wait is calm up to this share of the target."""
RELIEF: Final = 0.8
"""Share of its pace that a worker is given when the pool shrinks."""
GROWTH: Final = 2
"""The pool is no more than so many times as large after one change, since a pace may have been measured too low."""
FEWEST_LOOKS: Final = 4
"""Observations that a window has at least."""


class Scaling(msgspec.Struct, frozen=True):
    """The bounds of a pool and what it is held to."""

    least: int
    """Workers, at least 1."""
    most: int
    """Workers, at least `least`."""
    target: float
    """Seconds that a frame may wait."""
    interval: float
    """Seconds within which the pool changes once at most."""

    @property
    def rise(self) -> float:
        """Seconds of being behind after which the pool grows."""
        return RISE * self.interval

    @property
    def period(self) -> float:
        """Seconds between two observations: the interval ÷ 30, within 0.2 and 2."""
        return min(2.0, max(0.2, self.interval / 30))


class Observation(msgspec.Struct, frozen=True):
    """A pool at one instant; `ended`, `processed` and `shed` only rise while one process counts them."""

    at: float
    """When it was made, seconds of a monotonic clock."""
    running: int
    """Workers that consume."""
    lag: int
    """Frames between the group's committed offsets and the ends of the log."""
    ended: int
    """Frames that this pool brought to any outcome so far."""
    processed: int
    """Those of them that were looked at and searched."""
    shed: int
    """Those of them that were shed."""
    age: float | None
    """Seconds that the oldest of the frames processed lately had waited; None if none was processed."""


class Decision(msgspec.Struct, frozen=True):
    """What the rule wants from now on."""

    workers: int
    reason: str = ""
    """Why the number changes, in a few words; empty if it does not."""


class _Look(msgspec.Struct, frozen=True):
    """An observation as it is judged."""

    seen: Observation
    wait: float
    behind: bool
    calm: bool


class Scaler:
    """Turns the observations of one pool, in order, into the number of workers that it is to have."""

    def __init__(self, scaling: Scaling, workers: int) -> None:
        """`workers` is what there is at the start, within the bounds."""
        self._scaling = scaling
        self._workers = workers
        self._changed: float | None = None
        self._pace: float | None = None
        self._age: float | None = None
        self._recent: deque[_Look] = deque()
        self._rates: deque[tuple[float, float]] = deque()
        """(when, frames per second) of each observation since the pool became calm, two intervals back at most."""
        self._commits: deque[tuple[float, int]] = deque()
        """(when, frames processed so far) of each observation since the pool fell behind that found more of them
        processed than the one before, an interval back at most."""

    @property
    def workers(self) -> int:
        """Workers that are wanted."""
        return self._workers

    @property
    def pace(self) -> float | None:
        """Frames per second that one worker processed when the pool was behind last; None if it never was."""
        return self._pace

    def decide(self, seen: Observation | None) -> Decision:
        """The number wanted after one more observation.

        None is an observation that could not be made: what was seen before it proves nothing about what comes after,
        so both windows begin anew. A gap, counters that fell (another process counts) and a pool of which nobody runs
        do the same.
        """
        if seen is None or not seen.running:
            self._forget()
            return Decision(self._workers)
        self._take(seen)
        rate = self._rate()
        if rate is None:
            return Decision(self._workers)
        self._note(seen.at, rate)
        if self._changed is not None and seen.at - self._changed < self._scaling.interval:
            return Decision(self._workers)
        decision = self._grown(rate) if self._behind() else self._shrunk(seen.at)
        if decision.workers != self._workers:
            self._workers = decision.workers
            self._changed = seen.at
            self._forget()
        return decision

    def _forget(self) -> None:
        self._recent.clear()
        self._rates.clear()
        self._commits.clear()

    def _take(self, seen: Observation) -> None:
        """Put an observation into the recent window, which is as long as the pool has to be behind.

        Or as long as the fewest looks take, where each waits for a slow Kafka.
        """
        if self._recent:
            last = self._recent[-1].seen
            if seen.at - last.at > self._scaling.rise or seen.ended < last.ended:
                self._forget()
            elif seen.running != last.running:
                # what another number of workers did is no measure of these
                self._recent.clear()
                self._commits.clear()
        self._recent.append(self._judged(seen))
        while len(self._recent) > FEWEST_LOOKS and seen.at - self._recent[1].seen.at >= self._scaling.rise:
            self._recent.popleft()
        if not self._recent[-1].calm:
            self._rates.clear()
        self._note_commit()

    def _note_commit(self) -> None:
        """While the pool is behind its workers have no time to spare, so what they commit is what they can."""
        seen = self._recent[-1].seen
        if not self._recent[-1].behind:
            self._commits.clear()
        elif len(self._recent) > 1 and seen.processed > self._recent[-2].seen.processed:
            self._commits.append((seen.at, seen.processed))
        while len(self._commits) > 2 and seen.at - self._commits[1][0] >= self._scaling.interval:
            self._commits.popleft()

    def _judged(self, seen: Observation) -> _Look:
        self._age = seen.age if seen.age is not None else self._age if seen.lag else None
        work = seen.lag / (self._pace * seen.running) if self._pace else 0.0
        wait = max(self._age or 0.0, work)
        shed = bool(self._recent) and seen.shed > self._recent[-1].seen.shed
        target = self._scaling.target
        return _Look(seen, wait, behind=shed or wait > target, calm=not shed and wait <= CALM * target)

    def _rate(self) -> float | None:
        """Frames per second that came in the recent window; None while it is not full.

        They either ended or wait: so runs that share a group count what comes to each of them.
        """
        first, last = self._recent[0].seen, self._recent[-1].seen
        span = last.at - first.at
        if span < self._scaling.rise or len(self._recent) < FEWEST_LOOKS:
            return None
        return max(0, last.ended - first.ended + last.lag - first.lag) / span

    def _behind(self) -> bool:
        return 2 * sum(look.behind for look in self._recent) > len(self._recent)

    def _note(self, at: float, rate: float) -> None:
        """Keep what was measured: the pace of a pool that is behind, the rate of one that is calm."""
        first, last = self._recent[0].seen, self._recent[-1].seen
        if len(self._commits) > 1:
            # from commit to commit, since a batch may take as long as the window is, or longer
            (since, before), (until, after) = self._commits[0], self._commits[-1]
            self._pace = (after - before) / (until - since) / last.running
        elif self._pace is None and self._behind() and last.processed > first.processed:
            self._pace = (last.processed - first.processed) / (last.at - first.at) / last.running
        if self._recent[-1].calm:
            self._rates.append((at, rate))
            while len(self._rates) > 1 and at - self._rates[1][0] >= FALL * self._scaling.interval:
                self._rates.popleft()

    def _grown(self, rate: float) -> Decision:
        """As many workers as carry the rate and are rid of the backlog within an interval."""
        first, last = self._recent[0].seen, self._recent[-1].seen
        stuck = last.processed == first.processed  # more workers do not help one that waits for a shard
        if not self._pace or stuck or last.running < self._workers or self._workers >= self._scaling.most:
            return Decision(self._workers)
        needed = ceil((rate + last.lag / self._scaling.interval) / self._pace)
        workers = min(max(needed, self._workers + 1), GROWTH * self._workers, self._scaling.most)
        shed = last.shed - first.shed
        waited = f"frames waited {max(look.wait for look in self._recent):.1f} s"
        return Decision(workers, f"{waited}, {shed} were shed" if shed else waited)

    def _shrunk(self, at: float) -> Decision:
        """As many workers as carry the greatest rate since the pool became calm, once that is long enough ago."""
        calm = bool(self._rates) and at - self._rates[0][0] >= FALL * self._scaling.interval
        if not calm or self._workers <= self._scaling.least:
            return Decision(self._workers)
        greatest = max(rate for _, rate in self._rates)
        # of a pool that was never behind no pace is known; one worker fewer will tell
        needed = ceil(greatest / (RELIEF * self._pace)) if self._pace else self._workers - 1
        workers = max(needed, self._scaling.least)
        if workers >= self._workers:
            return Decision(self._workers)
        return Decision(workers, f"{greatest:.1f} frames/s came at most")
