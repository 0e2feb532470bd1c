"""Progress of long jobs, on standard error, so that the output can go elsewhere."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)


@contextmanager
def stage_progress() -> Iterator[Callable[[str, int, int, float], None]]:
    """A bar for each stage of a long job, with the latest loss; where there is no terminal, a line now and then."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
        console=console,
    ) as bars:
        stages = {}

        def show(stage: str, done: int, total: int, loss: float) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, loss="")
            bars.update(stages[stage], completed=done, total=total, loss=_said(loss))

        yield show


def _lines(console: Console) -> Callable[[str, int, int, float], None]:
    """Return a progress that writes a line as a stage begins, and for each twentieth of it."""
    twentieths: dict[str, int] = {}

    def show(stage: str, done: int, total: int, loss: float) -> None:
        reached = 20 * done // max(1, total)
        if reached > twentieths.get(stage, -1):
            twentieths[stage] = reached
            console.print(f"{stage} {done}/{total} {_said(loss)}".rstrip(), highlight=False)

    return show


def _said(loss: float) -> str:
    """Return a loss in words, nothing if there is none."""
    return "" if math.isnan(loss) else f"loss {loss:.4f}"


@contextmanager
def loading_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for entries on a terminal, from the first word on, so that an error before it stands alone."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with ExitStack() as stack:
        bars = Progress(*columns, console=console, transient=True)
        task = bars.add_task(name, total=None)

        def show(done: int, total: int) -> None:
            if console.is_terminal and not bars.live.is_started:
                stack.enter_context(bars)
            bars.update(task, completed=done, total=total)

        yield show


@contextmanager
def fetching_progress() -> Iterator[Callable[[int, int], None]]:
    """A bar for the bytes of a download, a line where there is no terminal, and nothing if there is no download."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _announced()
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=console, transient=True
    ) as bars:
        task = bars.add_task("fetching Apache Kafka", total=None, visible=False)
        yield lambda done, total: bars.update(task, completed=done, total=total, visible=done < total)


def _announced() -> Callable[[int, int], None]:
    said: list[int] = []

    def show(done: int, total: int) -> None:
        if done < total and not said:
            said.append(total)
            typer.echo(f"fetching Apache Kafka, {total / 1e6:.0f} MB", err=True)

    return show
