"""Turns between queues: the oldest head first, and each queue in its own order."""

from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.turns import Turns

ARRIVALS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50)), max_size=60)
"""(queue, time) in the order in which they come."""


@given(ARRIVALS, st.lists(st.booleans(), max_size=120))
def test_each_queue_is_taken_in_its_order_and_the_oldest_head_first(
    arrivals: list[tuple[int, int]], takes: list[bool]
) -> None:
    """Whatever comes between: what is taken of a queue is a prefix of it, and no head that waits is older."""
    turns: Turns[int] = Turns()
    queues: dict[int, deque[tuple[int, int]]] = {}
    pending = deque(enumerate(arrivals))
    for take in (*takes, *[False] * len(arrivals), *[True] * len(arrivals)):
        if take and turns:
            oldest = min(waiting[0] for waiting in queues.values() if waiting)
            taken = turns.take()
            assert queues[arrivals[taken][0]].popleft() == (arrivals[taken][1], taken) == oldest
        elif not take and pending:
            number, (queue, time) = pending.popleft()
            turns.add(queue, time, 3, number)
            queues.setdefault(queue, deque()).append((time, number))
        assert len(turns) == sum(map(len, queues.values()))
        assert turns.weight == 3 * len(turns)
    assert not turns
    with pytest.raises(IndexError):
        turns.take()


@given(ARRIVALS, st.sets(st.integers(0, 4)))
def test_what_is_kept_is_taken_as_if_the_rest_had_never_come(arrivals: list[tuple[int, int]], kept: set[int]) -> None:
    """Partitions that another worker reads now leave no trace."""
    turns, alone = Turns[int](), Turns[int]()
    for number, (queue, time) in enumerate(arrivals):
        turns.add(queue, time, 1, number)
        if queue in kept:
            alone.add(queue, time, 1, number)
    turns.keep(kept)
    assert turns.weight == alone.weight
    assert [turns.take() for _ in range(len(turns))] == [alone.take() for _ in range(len(alone))]


@given(ARRIVALS, st.integers(0, 60), st.integers(0, 50))
def test_younger_are_the_queues_whose_head_is(arrivals: list[tuple[int, int]], taken: int, than: int) -> None:
    """With the weight of all that waits in them; a queue's latest is known whether it waits or not."""
    turns: Turns[int] = Turns()
    for number, (queue, time) in enumerate(arrivals):
        turns.add(queue, time, 3, number)
    gone = {turns.take() for _ in range(min(taken, len(arrivals)))}
    waiting = [each for number, each in enumerate(arrivals) if number not in gone]
    heads = dict(reversed(waiting))
    weights = Counter(queue for queue, _ in waiting)
    assert turns.younger(than) == {queue: 3 * weights[queue] for queue, time in heads.items() if time > than}
    assert turns.latest == dict(arrivals)
