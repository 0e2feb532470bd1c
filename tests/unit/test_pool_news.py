"""What commands say of an elastic pool: a line for each change, how many workers there are, and what is wrong."""

import io

import msgspec
import pytest
from rich.console import Console

from pipeline.actors.pool_status import PoolChange, PoolStatus
from pipeline.actors.report import WorkReport
from pipeline.actors.run_plan import RunStatus
from pipeline.actors.vision_worker import WorkerStatus
from pipeline.runtime.pool_news import PoolNews, changes_told
from pipeline.runtime.screen import Screen

CALM = PoolStatus(
    least=1, most=4, wanted=1, grown=0, shrunk=0, latest=None, trouble="", metrics_port=9400, node="127.0.0.1"
)


def changed(before: int, after: int, grown: int, shrunk: int) -> PoolStatus:
    """A pool after its latest change."""
    return msgspec.structs.replace(
        CALM, wanted=after, grown=grown, shrunk=shrunk, latest=PoolChange(before, after, "frames waited 1.5 s")
    )


def test_each_change_is_told_once() -> None:
    """With both numbers and the reason."""
    news = PoolNews()
    assert news.lines(CALM) == []
    assert news.lines(changed(1, 2, 1, 0)) == ["the pool grows from 1 to 2 workers: frames waited 1.5 s"]
    assert news.lines(changed(1, 2, 1, 0)) == []
    assert news.lines(changed(2, 1, 1, 1)) == ["the pool shrinks from 2 to 1 worker: frames waited 1.5 s"]
    assert PoolNews().lines(None) == []


def test_what_changed_before_a_command_adopted_the_run_is_no_news() -> None:
    """It shows what there is."""
    news = PoolNews()
    assert news.lines(changed(1, 2, 5, 4)) == []
    assert len(news.lines(changed(2, 4, 6, 4))) == 1


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        (None, "1 worker, 0 shards"),
        (CALM, "1 of 1 to 4 workers, 0 shards"),
        (
            msgspec.structs.replace(CALM, trouble="Kafka at a:1: no answer"),
            "1 of 1 to 4 workers, 0 shards; pool: Kafka at a:1: no answer",
        ),
    ],
    ids=["fixed", "elastic", "trouble"],
)
def test_the_line_of_state_says_how_many_workers_there_are_of_which_bounds(pool: PoolStatus | None, said: str) -> None:
    """A fixed pool is told as ever."""
    status = RunStatus(
        pid=1,
        workers=[WorkerStatus(0, 2, "running", "", 1, True, "", 0, "here", {}, b"")],
        shards=[],
        awaited=0,
        replaced=0,
        last_replaced="",
        failure="",
        failure_exit_code=1,
        work=b"",
        pool=pool,
    )
    console = Console(file=io.StringIO(), record=True, width=200)
    with Screen(console, "run", None) as screen:
        screen._last_line = 0.0
        screen.show(WorkReport(), None, status, 0)
    assert console.export_text().splitlines()[-1].endswith(said)


def test_changes_are_counted_in_words() -> None:
    """In a run's last line, and in a demo's table."""
    assert changes_told(1, 2) == "grew once and shrank 2 times"
    assert changes_told(0, 1_200) == "grew 0 times and shrank 1,200 times"
