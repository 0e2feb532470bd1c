"""Progress of long jobs, on standard error, so that the output can go elsewhere."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def training_progress() -> Iterator[Callable[[str, int, int, float], None]]:
    """A bar for each stage of a training, with the latest loss."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
        console=Console(stderr=True),
    ) as bars:
        stages = {}

        def show(stage: str, done: int, total: int, loss: float) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, loss="")
            said = "" if math.isnan(loss) else f"loss {loss:.4f}"
            bars.update(stages[stage], completed=done, total=total, loss=said)

        yield show


@contextmanager
def loading_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for the entries of a file."""
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True)
    ) as bars:
        task = bars.add_task(name, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
