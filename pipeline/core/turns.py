"""Whose turn it is: of what waits in several queues the oldest, and within a queue what came first."""

import heapq
from collections import deque
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
_BEFORE_ALL: Final = -(2**63)


class _Waiting(NamedTuple, Generic[Item]):
    time: int
    arrival: int
    weight: int
    item: Item


class Turns(Generic[Item]):
    """Queues whose heads are taken oldest first.

    Queues that were served evenly instead would stay as far behind each other as they once came to be: with a limit on
    the age some would lose everything, and others nothing.
    """

    def __init__(self) -> None:
        self._queues: dict[int, deque[_Waiting[Item]]] = {}
        self._latest: dict[int, int] = {}
        self._heads: list[tuple[int, int, int]] = []
        """A heap of (time, arrival, queue): the head of each queue that holds something."""
        self._arrivals = 0
        self._size = 0
        self._weight = 0

    def __len__(self) -> int:
        """Return how many items wait."""
        return self._size

    @property
    def weight(self) -> int:
        """Of all items that wait."""
        return self._weight

    def add(self, queue: int, time: int | None, weight: int, item: Item) -> None:
        """Put an item at the end of a queue; of heads of one time, the one that came first is taken first.

        One without a time is taken as soon as it is a head, and says nothing about what its queue has yet to come.
        """
        turn = _BEFORE_ALL if time is None else time
        waiting = self._queues.setdefault(queue, deque())
        waiting.append(_Waiting(turn, self._arrivals, weight, item))
        if len(waiting) == 1:
            heapq.heappush(self._heads, (turn, self._arrivals, queue))
        if time is not None:
            self._latest[queue] = time
        self._arrivals += 1
        self._size += 1
        self._weight += weight

    @property
    def latest(self) -> Mapping[int, int]:
        """The time of what came last in each queue, whether it still waits or not."""
        return MappingProxyType(self._latest)

    def waiting(self, queue: int) -> int:
        """How many items wait in a queue."""
        return len(self._queues.get(queue, ()))

    def younger(self, than: int) -> dict[int, int]:
        """The queues whose head is younger than a time, with the weight of what waits in each."""
        return {
            queue: sum(each.weight for each in waiting)
            for queue, waiting in self._queues.items()
            if waiting[0].time > than
        }

    def take(self) -> Item:
        """Take the oldest head; raises IndexError if nothing waits."""
        _, _, queue = self._heads[0]
        waiting = self._queues[queue]
        taken = waiting.popleft()
        if waiting:
            heapq.heapreplace(self._heads, (waiting[0].time, waiting[0].arrival, queue))
        else:
            heapq.heappop(self._heads)
            del self._queues[queue]
        self._size -= 1
        self._weight -= taken.weight
        return taken.item

    def keep(self, queues: Collection[int]) -> None:
        """Forget what waits in every other queue."""
        self._latest = {queue: time for queue, time in self._latest.items() if queue in queues}
        self._queues = {queue: waiting for queue, waiting in self._queues.items() if queue in queues}
        self._heads = [(waiting[0].time, waiting[0].arrival, queue) for queue, waiting in self._queues.items()]
        heapq.heapify(self._heads)
        self._size = sum(map(len, self._queues.values()))
        self._weight = sum(each.weight for waiting in self._queues.values() for each in waiting)
