"""The arithmetic of an overload: plain samples in, figures out."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Final

import msgspec

from pipeline.core.latency import LatencySketch

GOODPUT_TARGET: Final = 0.95
MEMORY_TARGET: Final = 1.05
FAIRNESS_TARGET: Final = 0.95
FEED_TARGET: Final = 0.95
"""Share of the frames that were to be sent which reached Kafka: with less there was no overload."""
BATCHES_IN_FLIGHT: Final = 3
MEMORY_WINDOW_SECONDS: Final = 10.0


class Sample(msgspec.Struct, frozen=True):
    """A run at one moment; counts since its start."""

    at: float
    """Seconds of a monotonic clock."""
    sent: int
    """Frames that the broker has acknowledged."""
    outcomes: Mapping[str, int]
    batches: int
    resident: int
    """Bytes of all workers and shards together."""


class Load(msgspec.Struct, frozen=True):
    """A stretch of steady load."""

    offered: float
    """Frames per second asked of the feed."""
    samples: Sequence[Sample]
    """From its begin to its end, two at least."""

    @property
    def seconds(self) -> float:
        """How long it went on."""
        return self.samples[-1].at - self.samples[0].at

    @property
    def sent(self) -> float:
        """Frames per second that reached Kafka."""
        return (self.samples[-1].sent - self.samples[0].sent) / self.seconds

    @property
    def goodput(self) -> float:
        """Frames per second that were processed."""
        return self.counted("processed") / self.seconds

    @property
    def batch_seconds(self) -> float:
        """Seconds between two commits, on average; infinite if there was none."""
        batches = self.samples[-1].batches - self.samples[0].batches
        return self.seconds / batches if batches else float("inf")

    def counted(self, outcome: str) -> int:
        """Frames of an outcome in this stretch."""
        return self.samples[-1].outcomes.get(outcome, 0) - self.samples[0].outcomes.get(outcome, 0)

    @property
    def memory_growth(self) -> float:
        """Resident memory at the end ÷ that after the first fifth, each a mean over up to 10 s."""
        window = min(MEMORY_WINDOW_SECONDS, self.seconds / 5)
        fifth = self.samples[0].at + self.seconds / 5
        first = min(self.samples, key=lambda each: abs(each.at - fifth))
        early = [each.resident for each in self.samples if first.at <= each.at <= first.at + window]
        late = [each.resident for each in self.samples if each.at >= self.samples[-1].at - window]
        return fmean(late) / fmean(early)


class Figure(msgspec.Struct, frozen=True):
    """One figure, what it has to be, and whether it is."""

    name: str
    value: float
    unit: str
    target: str
    """Empty without one."""
    reached: bool | None
    """None without a target."""


def jain(counts: Iterable[float]) -> float:
    """Return Jain's index of fairness (Jain, Chiu and Hawe 1984): 1 if all are equal, 1/n if one has all.

    1 if all are zero. Raises ValueError without a count.
    """
    values = list(counts)
    if not values:
        raise ValueError("fairness between no cameras")
    squares = sum(value * value for value in values)
    return 1.0 if squares == 0 else sum(values) ** 2 / (len(values) * squares)


def figures(
    saturations: Sequence[Load],
    overload: Load,
    latency: LatencySketch,
    shed: Mapping[str, int],
    *,
    max_age: float | None,
    cameras: int,
) -> list[Figure]:
    """The figures of an overload, against the mean of saturations before and after it in the same run.

    `latency` is of what was processed in the overload, `shed` by camera, of so many `cameras`, `max_age` in seconds,
    None under `block`.
    """
    saturated = fmean(each.goodput for each in saturations)
    kept = overload.goodput / saturated
    growth = overload.memory_growth
    fed = overload.sent / overload.offered
    found = [
        *(
            Figure(f"goodput at saturation, stretch {number}", each.goodput, "frames/s", "", None)
            for number, each in enumerate(saturations, 1)
        ),
        Figure("sent in the overload", overload.sent, "frames/s", "", None),
        Figure("sent ÷ what was to be sent", fed, "", f"≥ {FEED_TARGET}", fed >= FEED_TARGET),
        Figure("goodput in the overload", overload.goodput, "frames/s", "", None),
        Figure("goodput ÷ that at saturation", kept, "", f"≥ {GOODPUT_TARGET}", kept >= GOODPUT_TARGET),
        Figure("memory ÷ that after a fifth", growth, "", f"≤ {MEMORY_TARGET}", growth <= MEMORY_TARGET),
        Figure("shed", overload.counted("shed"), "frames", "", None),
        Figure("expired", overload.counted("expired"), "frames", "", None),
    ]
    p99 = latency.quantile(0.99)
    if max_age is None or p99 is None:
        return found
    bound = max_age + BATCHES_IN_FLIGHT * overload.batch_seconds
    fairness = jain(shed.values())
    return [
        *found,
        Figure("batch time", overload.batch_seconds, "s", "", None),
        Figure("p99 of what is processed", p99, "s", f"≤ {bound:.3f} (limit + 3 batch times)", p99 <= bound),
        Figure("cameras whose frames were counted", len(shed), "", str(cameras), len(shed) == cameras),
        Figure("Jain's index of shed frames", fairness, "", f"≥ {FAIRNESS_TARGET}", fairness >= FAIRNESS_TARGET),
    ]


def accounts(sent: int, committed: int, ended: int, everything: bool) -> list[Figure]:
    """Frames that nobody answers for: committed without an outcome, and if `everything` had its time, not committed."""
    astray, left = committed - ended, sent - committed
    return [
        Figure("committed without an outcome", astray, "frames", "0", astray == 0),
        Figure("still in Kafka", left, "frames", "0" if everything else "", left == 0 if everything else None),
    ]


def line(figure: Figure) -> str:
    """A figure for people."""
    text = f"{figure.name:<32} {figure.value:10.3f} {figure.unit}".rstrip()
    return text if figure.reached is None else f"{text}  {figure.target}: {'reached' if figure.reached else 'MISSED'}"
