"""The arithmetic of the pipeline tax: plain numbers in, figures and a table out."""

from collections.abc import Sequence
from statistics import median

import msgspec

EFFICIENCY_TARGET = 0.85
OVERHEAD_TARGET_MS = 1.0
THROUGHPUT_TARGET = 0.85
BATCHING_TARGET = 5.0


class Bare(msgspec.Struct, frozen=True):
    """A bare kernel loop over some frames."""

    frames: int
    cpu_seconds: float


class Piped(msgspec.Struct, frozen=True):
    """The pipeline over the same frames, saturated."""

    frames: int
    seconds: float
    """From the first frame's append to the last commit."""
    worker_cpu_seconds: float
    shard_cpu_seconds: float
    broker_cpu_seconds: float
    batches: int

    @property
    def cpu_seconds(self) -> float:
        """Of all worker and shard processes."""
        return self.worker_cpu_seconds + self.shard_cpu_seconds


class Round(msgspec.Struct, frozen=True):
    """A bare and a piped run, one after the other."""

    bare: Bare
    piped: Piped

    @property
    def efficiency(self) -> float:
        """CPU seconds per frame of the bare loop ÷ those of the pipeline."""
        return (self.bare.cpu_seconds / self.bare.frames) / (self.piped.cpu_seconds / self.piped.frames)

    @property
    def overhead_ms(self) -> float:
        """Milliseconds of CPU per frame that the pipeline takes on top of the bare loop."""
        return 1e3 * (self.piped.cpu_seconds / self.piped.frames - self.bare.cpu_seconds / self.bare.frames)

    def throughput_ratio(self, cores: int) -> float:
        """Frames/s ÷ (cores allotted ÷ CPU seconds per frame): the share of the allotted cores that was kept busy."""
        return (self.piped.frames / self.piped.seconds) * (self.piped.cpu_seconds / self.piped.frames) / cores


class Figure(msgspec.Struct, frozen=True):
    """One figure over all rounds."""

    name: str
    unit: str
    median: float
    lowest: float
    highest: float
    target: float | None
    reached: bool | None
    """None without a target."""


def figures(rounds: Sequence[Round], cores: int) -> list[Figure]:
    """The figures of the batch path against the bare loop."""
    return [
        _figure("pipeline efficiency", "", [each.efficiency for each in rounds], EFFICIENCY_TARGET),
        _figure("CPU overhead per frame", "ms", [each.overhead_ms for each in rounds], OVERHEAD_TARGET_MS, most=True),
        _figure(
            "frames/s ÷ (cores ÷ CPU s per frame)",
            "",
            [each.throughput_ratio(cores) for each in rounds],
            THROUGHPUT_TARGET,
        ),
        _figure("frames/s", "", [each.piped.frames / each.piped.seconds for each in rounds]),
        _figure("bare CPU per frame", "ms", [1e3 * each.bare.cpu_seconds / each.bare.frames for each in rounds]),
        _figure("worker CPU per frame", "ms", [_per_frame(each.piped.worker_cpu_seconds, each) for each in rounds]),
        _figure("shard CPU per frame", "ms", [_per_frame(each.piped.shard_cpu_seconds, each) for each in rounds]),
        _figure("broker CPU per frame", "ms", [_per_frame(each.piped.broker_cpu_seconds, each) for each in rounds]),
        _figure("frames per batch", "", [each.piped.frames / each.piped.batches for each in rounds]),
    ]


def transport_figures(batched: Sequence[Piped], single: Sequence[Piped]) -> list[Figure]:
    """Transport CPU per frame in batches, one by one, and how many times less the first is."""
    by_batch = [1e3 * each.cpu_seconds / each.frames for each in batched]
    by_frame = [1e3 * each.cpu_seconds / each.frames for each in single]
    return [
        _figure("transport CPU per frame, batches", "ms", by_batch),
        _figure("transport CPU per frame, one by one", "ms", by_frame),
        _figure("one by one ÷ batches", "", [b / a for a, b in zip(by_batch, by_frame, strict=True)], BATCHING_TARGET),
    ]


def _per_frame(seconds: float, each: Round) -> float:
    return 1e3 * seconds / each.piped.frames


def _figure(name: str, unit: str, values: Sequence[float], target: float | None = None, most: bool = False) -> Figure:
    middle = median(values)
    reached = None if target is None else (middle <= target if most else middle >= target)
    return Figure(name, unit, middle, min(values), max(values), target, reached)


def line(figure: Figure) -> str:
    """A figure for people."""
    unit = f" {figure.unit}" if figure.unit else ""
    text = f"{figure.name:<40} {figure.median:8.3f}{unit}  ({figure.lowest:.3f} to {figure.highest:.3f})"
    if figure.target is None:
        return text
    return f"{text}  target {figure.target:g}{unit}: {'reached' if figure.reached else 'MISSED'}"
