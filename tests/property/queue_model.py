"""A pool of workers before a queue of frames, in steps of simulated time: what the rule of elastic pools is held to."""

from collections import deque
from collections.abc import Callable
from itertools import pairwise

from pipeline.core.scaling import Observation, Scaler, Scaling

Load = Callable[[float], float]
"""Frames per second that come at an instant, seconds from the start."""


AGE_SECONDS = 2.0
"""How long after a commit the ages of its frames are seen."""


class QueueModel:
    """Frames as a fluid, first in and first out; `observe` advances the time by `seconds`.

    A new worker takes `start_seconds` to be up, and after each change nobody consumes for `pause_seconds`, as while a
    group is rebalanced. Frames older than `max_age`, if there is one, are shed when it is their turn. What was done is
    seen at each commit, `batch_seconds` after the last.
    """

    def __init__(
        self,
        load: Load,
        *,
        pace: float,
        workers: int,
        max_age: float | None = None,
        start_seconds: float = 8.0,
        pause_seconds: float = 2.0,
        batch_seconds: float = 0.0,
    ) -> None:
        self._load = load
        self._pace = pace
        self._max_age = max_age
        self._start_seconds = start_seconds
        self._pause_seconds = pause_seconds
        self._batch_seconds = batch_seconds
        self._up = [0.0] * workers
        self._paused_until = 0.0
        self._queue: deque[tuple[float, float]] = deque()
        self._came = self._processed = self._shed = 0.0
        self._oldest: float | None = None
        self._committed = (0, 0)
        self._committed_at = 0.0
        self._age: float | None = None
        self.now = 0.0

    @property
    def lag(self) -> float:
        """Frames that wait."""
        return sum(frames for _, frames in self._queue)

    def resize(self, workers: int) -> None:
        """Start workers, or end the ones that were started last."""
        if workers != len(self._up):
            self._paused_until = self.now + self._pause_seconds
        started = [self.now + self._start_seconds] * (workers - len(self._up))
        self._up = self._up[:workers] + started

    def observe(self, seconds: float) -> Observation:
        """Let time pass and look."""
        self.now += seconds
        coming = self._load(self.now) * seconds
        self._came += coming
        self._queue.append((self.now, coming))
        running = sum(at <= self.now for at in self._up)
        room = running * self._pace * seconds if self.now >= self._paused_until else 0.0
        while room > 1e-9 and self._queue:
            came, frames = self._queue.popleft()
            if self._max_age is not None and self.now - came > self._max_age:
                self._shed += frames
                continue
            self._oldest = max(self._oldest or 0.0, self.now - came)
            taken = min(frames, room)
            room -= taken
            self._processed += taken
            if taken < frames:
                self._queue.appendleft((came, frames - taken))
        self._commit()
        processed, shed = self._committed
        return Observation(
            self.now, running, int(self._came) - processed - shed, processed + shed, processed, shed, self._age
        )

    def _commit(self) -> None:
        if self.now - self._committed_at >= self._batch_seconds:
            self._committed, self._age = (int(self._processed), int(self._shed)), self._oldest
            self._committed_at, self._oldest = self.now, None
        elif self.now - self._committed_at > AGE_SECONDS:
            self._age = None


class Trace:
    """What a rule made of a load: `sizes` has (when, workers) of the start and of each change."""

    def __init__(self, model: QueueModel, scaling: Scaling, *, seconds: float, workers: int) -> None:
        scaler = Scaler(scaling, workers)
        self.model = model
        self.scaling = scaling
        self.seconds = seconds
        self.sizes = [(0.0, workers)]
        while model.now < seconds:
            decision = scaler.decide(model.observe(scaling.period))
            if decision.workers != self.sizes[-1][1]:
                assert decision.reason
                self.sizes.append((model.now, decision.workers))
                model.resize(decision.workers)

    @property
    def last(self) -> int:
        """Workers at the end."""
        return self.sizes[-1][1]

    def changes_since(self, seconds: float) -> int:
        """Changes later than this instant."""
        return sum(at > seconds for at, _ in self.sizes[1:])

    @property
    def turns(self) -> int:
        """How often growing turned into shrinking or the other way round."""
        steps = [after - before for (_, before), (_, after) in pairwise(self.sizes)]
        return sum((one > 0) != (other > 0) for one, other in pairwise(steps))

    def check_promises(self) -> None:
        """Never below the least nor above the most, and never two changes within an interval."""
        assert all(self.scaling.least <= workers <= self.scaling.most for _, workers in self.sizes)
        changes = [at for at, _ in self.sizes[1:]]
        assert all(later - earlier >= self.scaling.interval for earlier, later in pairwise(changes))
