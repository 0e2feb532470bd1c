"""A frame source on the broker in memory."""

import time
from collections.abc import Callable, Collection, Mapping

from pipeline.core.turns import Turns
from pipeline.errors import CustodyError
from pipeline.ports import Assigned, Revoked
from pipeline.records import Batch, ConsumedRecord, OffsetRange
from pipeline.testing.broker import MemoryBroker, MemoryLog


class FakeFrameSource:
    """Implements `pipeline.ports.FrameSource`."""

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        topic: str,
        group: str,
        assigned: Assigned,
        revoked: Revoked,
        lost: Revoked,
        batch_limit: int = 128,
        now_ns: Callable[[], int] = time.time_ns,
        drops: Collection[tuple[int, int]] = (),
    ) -> None:
        """`drops` are (partition, offset) that the source loses on purpose: each must break custody."""
        self._broker = broker
        self._topic = topic
        self._assigned, self._revoked, self._lost = assigned, revoked, lost
        self._batch_limit = batch_limit
        self._now_ns = now_ns
        self._drops = frozenset(drops)
        self._assignment = 0
        self._paused = False
        self._positions: dict[int, int] = {}
        self._first_starts: dict[int, int] = {}
        self._group = broker.group(group, topic)
        with broker.changed:
            self._member = self._group.join()

    @property
    def member(self) -> int:
        """This member's number in the group, for `MemoryGroup.rebalance` and `MemoryGroup.leave`."""
        return self._member

    @property
    def assignment(self) -> int:
        """See the port."""
        return self._assignment

    def poll(self, timeout: float, limit: int | None = None) -> Batch | None:
        """See the port; does not linger."""
        if self._follow_group():
            self._read_from_committed()
            return None
        with self._broker.changed:
            self._broker.changed.wait_for(self._has_news, timeout)
            if self._paused:
                return None
            expired = [gap for number in sorted(self._positions) for gap in self._expire(number)]
            records = self._take(self._batch_limit if limit is None else limit)
            if not records and not expired:
                return None
            membership = self._group.membership(self._member)
        return Batch(tuple(records), tuple(expired), membership, self._assignment, self._now_ns())

    def rewind(self) -> Mapping[int, int]:
        """See the port."""
        self._assignment += 1
        self._read_from_committed()
        return dict(self._positions)

    def lag(self) -> Mapping[int, int]:
        """See the port."""
        with self._broker.changed:
            return {n: self._log(n).end - position for n, position in self._positions.items()}

    def pause(self) -> None:
        """See the port."""
        self._paused = True

    def resume(self) -> None:
        """See the port."""
        self._paused = False

    def close(self) -> None:
        """See the port."""
        if self._positions:
            self._part_from(sorted(self._positions), self._revoked)
        with self._broker.changed:
            self._group.leave(self._member)
            self._broker.changed.notify_all()

    def _follow_group(self) -> bool:
        """Give up, lose and take partitions as the group wants it; returns whether anything changed."""
        before = self._assignment
        with self._broker.changed:
            if not self._group.is_member(self._member):
                gone, self._member = sorted(self._positions), self._group.join()
                leaving: list[int] = []
            else:
                gone, leaving = [], self._group.to_give_up(self._member)
        if gone:
            self._part_from(gone, self._lost)
        if leaving:
            self._part_from(leaving, self._revoked)
        with self._broker.changed:
            taken = self._group.take(self._member)
            starts = {number: self._start(number) for number in taken}
        if starts:
            self._assignment += 1
            self._assigned(starts)
            self._positions.update(starts)
        return self._assignment != before

    def _part_from(self, partitions: list[int], tell: Revoked) -> None:
        self._assignment += 1
        tell(partitions)
        for number in partitions:
            self._positions.pop(number, None)
            self._first_starts.pop(number, None)
        with self._broker.changed:
            self._group.give_up(self._member, partitions)
            self._broker.changed.notify_all()

    def _has_news(self) -> bool:
        if self._group.to_give_up(self._member) or not self._group.is_member(self._member):
            return True
        return not self._paused and any(
            position < self._log(number).stable_end or position < self._log(number).start
            for number, position in self._positions.items()
        )

    def _take(self, limit: int) -> list[ConsumedRecord]:
        waiting: Turns[ConsumedRecord] = Turns()
        for number in sorted(self._positions):
            for record in self._log(number).committed(self._positions[number], limit):
                if (number, record.offset) not in self._drops:
                    waiting.add(number, record.append_ns, 0, record)
        records = [waiting.take() for _ in range(min(limit, len(waiting)))]
        for record in records:
            number, position = record.partition, self._positions[record.partition]
            if record.offset != position:
                missing = f"offsets {position} to {record.offset - 1}"
                raise CustodyError(f"partition {number}: {missing} were not delivered")
            self._positions[number] = record.offset + 1
        return records

    def _expire(self, number: int) -> list[OffsetRange]:
        position, start = self._positions[number], self._log(number).start
        if position >= start:
            return []
        self._positions[number] = start
        return [OffsetRange(number, position, start)]

    def _read_from_committed(self) -> None:
        with self._broker.changed:
            self._positions = {number: self._start(number) for number in self._positions}

    def _start(self, number: int) -> int:
        if number in self._group.committed:
            return self._group.committed[number]
        return self._first_starts.setdefault(number, self._log(number).start)

    def _log(self, number: int) -> MemoryLog:
        return self._broker.log(self._topic, number)
