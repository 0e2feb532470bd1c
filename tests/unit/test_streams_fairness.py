"""Which partitions bear an overload, on a client that is played after librdkafka: equal ones bear the same.

The client hands over a stretch of each partition in turn, as fetched, whatever its records' times are.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import Message, TopicPartition

from loadtest.overload_figures import jain
from pipeline.core.pressure import Overload, Policy
from pipeline.streams.client import Connection
from pipeline.streams.consumer import KafkaFrameSource

PARTITIONS = 4
EVERY_MS = 10
"""A frame of each partition comes as often: 400 a second in all."""
START_MS = 1_800_000_000_000
STRETCH, QUEUED = 8, 64
"""Frames of a partition that are fetched at once, and below which the client fetches more."""
BATCH, WORK_MS = 32, 7.5
"""Frames that are looked at together, and what each costs: 133 a second."""
OVERLOAD = Overload(Policy.SHED_OLDEST, 2_000)
VALUE = bytes(1000)


class PlayedClient:
    """A consumer that fetches in turn; partition p has frames from `behind[p]` ms before the start on."""

    def __init__(self, behind: Sequence[int]) -> None:
        self.now_ms = 0.0
        self.pauses = 0
        self.paused: set[int] = set()
        self.leaderless: set[int] = set()
        """Partitions of which nothing can be fetched."""
        self._behind = behind
        self._fetched: deque[tuple[int, int]] = deque()
        self._fetch_at = [0] * PARTITIONS
        self._given_to = [0] * PARTITIONS
        self._on_assign: Callable[[Any, list[TopicPartition]], None] | None = None

    def subscribe(self, _: list[str], on_assign: Callable[[Any, list[TopicPartition]], None], **__: Any) -> None:
        self._on_assign = on_assign

    def consume(self, limit: int, _: float) -> list[Message]:
        if self._on_assign is not None:
            on_assign, self._on_assign = self._on_assign, None
            on_assign(self, [TopicPartition("f", number) for number in range(PARTITIONS)])
            return []
        if len(self._fetched) < QUEUED:
            self._fetch()
        given = [self._fetched.popleft() for _ in range(min(limit, len(self._fetched)))]
        for partition, offset in given:
            self._given_to[partition] = offset + 1
        return [
            Message("f", partition, offset, b"camera", VALUE, None, None, (2, self.came_ms(partition, offset)))
            for partition, offset in given
        ]

    def came_ms(self, partition: int, offset: int) -> int:
        """The append time of a frame."""
        return START_MS - self._behind[partition] + offset * EVERY_MS

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition("f", tp.partition, -1001) for tp in asked]

    def get_watermark_offsets(self, asked: TopicPartition, **_: Any) -> tuple[int, int]:
        return 0, 1 + int((self.now_ms + self._behind[asked.partition]) // EVERY_MS)

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            self._fetch_at[each.partition] = self._given_to[each.partition] = each.offset

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        numbers = {each.partition for each in partitions}
        assert not numbers & self.paused
        self._fetched = deque(each for each in self._fetched if each[0] not in numbers)

    def pause(self, partitions: list[TopicPartition]) -> None:
        """What was fetched and not given is fetched again later."""
        numbers = {each.partition for each in partitions}
        self.paused |= numbers
        self.pauses += 1
        self._fetched = deque(each for each in self._fetched if each[0] not in numbers)
        for number in numbers:
            self._fetch_at[number] = self._given_to[number]

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Of partitions that are not paused librdkafka would lose what it has fetched."""
        numbers = {each.partition for each in partitions}
        assert numbers <= self.paused
        self.paused -= numbers

    def consumer_group_metadata(self) -> bytes:
        return b"membership"

    def _fetch(self) -> None:
        for number in range(PARTITIONS):
            end = self.get_watermark_offsets(TopicPartition("f", number))[1]
            first = self._fetch_at[number]
            if number not in self.paused | self.leaderless:
                self._fetch_at[number] = min(first + STRETCH, end)
                self._fetched += [(number, offset) for offset in range(first, self._fetch_at[number])]


def source_on(client: PlayedClient) -> KafkaFrameSource:
    """A frame source that owns every partition."""

    def ignore(_: object) -> None:
        pass

    return KafkaFrameSource(
        Connection("a:1"),
        topic="f",
        group="g",
        assigned=ignore,
        revoked=ignore,
        lost=ignore,
        batch_limit=BATCH,
        prefetch_kib=256,
        open_consumer=lambda *_, **__: client,
    )


def by_turns(client: PlayedClient) -> Callable[[int], list[tuple[int, int]]]:
    """How a worker takes up to so many frames: (partition, append time in ms) of each."""
    source = source_on(client)

    def taken(limit: int) -> list[tuple[int, int]]:
        batch = source.poll(0.0, limit)
        return [] if batch is None else [(record.partition, record.append_ns // 10**6) for record in batch.records]

    return taken


def as_handed_over(client: PlayedClient) -> Callable[[int], list[tuple[int, int]]]:
    """How it would take them in the client's own order."""
    client.subscribe([], lambda *_: None)

    def taken(limit: int) -> list[tuple[int, int]]:
        return [(message.partition() or 0, message.timestamp()[1]) for message in client.consume(limit, 0.0)]

    return taken


def shed_by_partition(client: PlayedClient, taken: Callable[[int], list[tuple[int, int]]]) -> list[int]:
    """Frames shed in a minute, after the first ten seconds, of three times what a worker can look at."""
    shed: Counter[int] = Counter()
    while client.now_ms < 70_000:
        kept = 0
        while kept < BATCH and (frames := taken(BATCH - kept)):
            for partition, came_ms in frames:
                if not OVERLOAD.sheds(int(START_MS + client.now_ms - came_ms)):
                    kept += 1
                elif client.now_ms > 10_000:
                    shed[partition] += 1
        client.now_ms += kept * WORK_MS or 1.0
    return [shed[number] for number in range(PARTITIONS)]


@pytest.mark.parametrize("behind", [(0, 0, 0, 0), (0, 300, 600, 900), (0, 0, 0, 5_000), (30_000, 0, 0, 0)])
def test_equal_partitions_are_shed_evenly_however_far_apart_they_began(behind: Sequence[int]) -> None:
    """Those of another worker that is gone, for instance, may be far behind when they are taken over."""
    client = PlayedClient(behind)
    assert jain(shed_by_partition(client, by_turns(client))) > 0.99


def test_in_the_order_of_the_client_what_is_behind_stays_behind_and_bears_it_all() -> None:
    """Why the source has an order of its own."""
    client = PlayedClient((0, 300, 600, 900))
    shed = shed_by_partition(client, as_handed_over(client))
    assert jain(shed) < 0.9
    assert shed[3] > 3 * shed[0]


def test_partitions_that_keep_up_with_each_other_are_never_held_back() -> None:
    """What was fetched of a partition that is paused is fetched again: it is worth that only while one is behind."""
    client = PlayedClient((0, 0, 0, 0))
    shed_by_partition(client, by_turns(client))
    assert client.pauses == 0
    client = PlayedClient((0, 0, 0, 5_000))
    shed_by_partition(client, by_turns(client))
    assert 1 <= client.pauses <= 5


def holding_back(client: PlayedClient) -> KafkaFrameSource:
    """A source that waits for the last partition, which is behind."""
    client.now_ms = 3_000
    source = source_on(client)
    while not client.paused:
        source.poll(0.0, BATCH)
    assert client.paused == {0, 1, 2}
    return source


def test_what_is_held_back_runs_again_when_what_is_behind_gives_nothing() -> None:
    """Its leader went away: the others are given on once nothing waits, though it stays as far behind."""
    client = PlayedClient((0, 0, 0, 30_000))
    source = holding_back(client)
    client.leaderless = {3}
    given: Counter[int] = Counter()
    for _ in range(200):
        if batch := source.poll(0.0, BATCH):
            given.update(record.partition for record in batch.records)
        client.now_ms += 10
    lags = source.lag()
    assert lags[3] > 2_000
    assert max(lags[number] for number in (0, 1, 2)) < BATCH
    assert min(given[number] for number in (0, 1, 2)) > 200


@pytest.mark.parametrize("change", ["pause", "rewind"])
def test_what_is_held_back_runs_again_after_a_pause_or_a_rewind(change: str) -> None:
    """And every record still comes once after it, in order: the source checks that itself."""
    client = PlayedClient((0, 0, 0, 5_000))
    source = holding_back(client)
    if change == "pause":
        source.pause()
        assert client.paused == {0, 1, 2, 3}
        assert source.poll(0.0) is None
        source.resume()
    else:
        source.rewind()
    assert client.paused == set()
    while any(source.lag().values()):
        source.poll(0.0)
