"""Stages meet to hand over: nothing waits between them, and an end is an end for both."""

import threading
from collections.abc import Callable

from pipeline.actors.handover import Handover

Eventually = Callable[..., None]


def test_what_nobody_takes_is_not_handed_over() -> None:
    """And it does not stay there for one who comes later."""
    over: list[bool] = []
    handover: Handover[int] = Handover(lambda: bool(over))
    assert not handover.offer(1)
    over.append(True)
    assert handover.take() is None


def test_everything_given_is_taken_in_order_and_the_giver_waits_for_it() -> None:
    """One thread gives, one takes; whoever gave knows that it was taken."""
    handover: Handover[int] = Handover(lambda: False)
    taken: list[int] = []

    def take() -> None:
        while (item := handover.take()) is not None:
            taken.append(item)

    taker = threading.Thread(target=take)
    taker.start()
    for number in range(1, 101):
        handover.give(number)
        assert len(taken) >= number - 1
    handover.give(None)
    taker.join(20.0)
    assert taken == list(range(1, 101))


def test_nobody_waits_when_it_is_over(eventually: Eventually) -> None:
    """A giver and a taker that never meet both come back."""
    over = threading.Event()
    ahead, behind = Handover[int](over.is_set), Handover[int](over.is_set)
    waiting = [threading.Thread(target=ahead.give, args=(1,)), threading.Thread(target=behind.take)]
    for thread in waiting:
        thread.start()
    over.set()
    eventually(lambda: not any(thread.is_alive() for thread in waiting), "the end of both")
