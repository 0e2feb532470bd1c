"""Every pass alerts once and every offset has one outcome, whatever is forced on the workers, on a real Kafka.

Each test stops a worker at the moment that matters and ends with what must hold after all of them, which
`KafkaRun.finish` asserts.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import pytest
from kafka_moments import Gate, Moment
from kafka_run import PARTITIONS, KafkaRun
from kafka_worker import COOLDOWN_SECONDS, Seat

from pipeline.actors import batch_loop
from pipeline.ports import Outbox
from pipeline.records import OutgoingRecord
from pipeline.streams.client import Connection

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]

START_SECONDS = 60.0
"""A process has to start and join before it can be stopped."""
TAKEOVER_SECONDS = 60.0
"""A dead member's session has to end first."""
STEP_SECONDS = 3000.0
"""Beyond the tolerance of a camera's clock, and less than what makes its frames no frames."""
BOTH_PROTOCOLS = pytest.mark.parametrize("run", ["consumer", "classic"], indirect=True)
"""For what depends on how the group finds out, and what it answers to a member of the past."""


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that can hand nothing on pauses its consumer soon, and from then on hears of a rebalance."""
    monkeypatch.setattr(batch_loop, "PATIENCE_SECONDS", 0.2)


@pytest.fixture
def run(kafka: Connection, prefix: str, request: pytest.FixtureRequest) -> Iterator[KafkaRun]:
    """A run without workers; its group has the protocol that a test names."""
    with KafkaRun(kafka, f"{prefix}run", getattr(request, "param", "consumer")) as made:
        yield made


@BOTH_PROTOCOLS
@pytest.mark.parametrize("moment", [Moment.DECIDED, Moment.UNCOMMITTED])
def test_a_rebalance_while_three_batches_are_in_flight(run: KafkaRun, eventually: Eventually, moment: Moment) -> None:
    """It waits for the first, which is committed if its offsets were sent before, and else as the group has it; the
    others are dropped and read again. Passes that began before go on without another alert."""
    gate = Gate(moment)
    gate.open()
    first = run.worker(0, at=gate, batch_limit=1)
    run.film(0, frames=1, alerts=True)
    eventually(run.settled)
    looks, decoded = first.looks, first.decoded
    gate.close()
    run.film(1, frames=1, alerts=True)
    run.film(0, frames=1, alerts=False)
    eventually(lambda: gate.reached.is_set() and first.decoded == decoded + 3, "three batches in flight")
    assert first.looks == looks + 2
    before, joining = first.assignment, run.worker(1)
    eventually(lambda: first.assignment > before, "the rebalance")
    assert joining.looks == 0
    gate.open()
    eventually(run.settled)
    run.film(1, frames=1, alerts=False)
    eventually(run.settled)
    finished = run.finish()
    assert finished.settlers == {0, 1}
    if moment is Moment.UNCOMMITTED:
        assert [receipt.slot for receipt in finished.receipts[: PARTITIONS + 1]] == [0] * (PARTITIONS + 1)


@BOTH_PROTOCOLS
def test_a_batch_whose_partitions_go_while_it_is_searched_is_dropped(run: KafkaRun, eventually: Eventually) -> None:
    """No revocation waits for it, and what of it is still the worker's own is read again."""
    gate = Gate(Moment.SEARCHED)
    searching = run.worker(0, at=gate)
    run.film(1, frames=2, alerts=True)
    eventually(gate.reached.is_set, "a search")
    joining = run.worker(1)
    eventually(lambda: joining.looks, "the rebalance")
    gate.open()
    eventually(run.settled)
    assert run.finish().settlers == {0, 1}
    assert searching.looks > 1


class Misled:
    """Shows Kafka, in some of its transactions, the membership of a member that has left the group."""

    def __init__(self, outbox: Outbox, departed: Any, transactions: Collection[int]) -> None:
        self._outbox = outbox
        self._departed = departed
        self._transactions = transactions
        self._number = 0

    def commit(self, records: Sequence[OutgoingRecord], offsets: Mapping[int, int], membership: Any) -> None:
        """See the port; Kafka refuses the offsets, after the records were produced."""
        self._number += 1
        shown = self._departed if self._number in self._transactions else membership
        self._outbox.commit(records, offsets, shown)

    def close(self) -> None:
        """See the port."""
        self._outbox.close()


def departed(seat: Seat) -> Any:
    """The membership of a member of the group that consumed, committed nothing and left."""
    source = seat.source()
    while (batch := source.poll(1.0)) is None:
        pass
    source.close()
    return batch.membership


@BOTH_PROTOCOLS
def test_after_an_abort_everything_in_flight_is_read_again(run: KafkaRun, eventually: Eventually) -> None:
    """From the committed offsets, with the cool-down that the committed alerts make, as often as it takes."""
    run.film(2, frames=3, alerts=True)
    run.film(3, frames=3, alerts=True)
    membership = departed(run.seat)
    refused = {2, 3, 6}
    worker = run.worker(0, batch_limit=2, through=lambda outbox: Misled(outbox, membership, refused))
    eventually(run.settled)
    run.finish()
    assert worker.aborted == len(refused)


@BOTH_PROTOCOLS
def test_a_worker_paused_past_its_session_commits_nothing_of_the_past(run: KafkaRun, eventually: Eventually) -> None:
    """It wakes with a batch decided, which is refused; it joins again, and works on what is the group's by then."""
    run.film(4, frames=2, alerts=True)
    zombie = run.process(0, Moment.DECIDED)
    eventually(lambda: zombie.ask("reached"), "a decision", START_SECONDS)
    zombie.freeze()
    run.worker(1)
    eventually(run.settled, seconds=TAKEOVER_SECONDS)
    zombie.thaw()
    zombie.ask("open")
    eventually(lambda: zombie.ask("aborted") == 1, "the refusal")
    eventually(lambda: zombie.ask("partitions") == PARTITIONS // 2, "its return to the group")
    run.film(4, frames=2, alerts=False)
    eventually(run.settled)
    finished = run.finish()
    assert finished.settlers == {0, 1}
    assert finished.alerters == {1}


def test_a_crash_between_produce_and_commit_leaves_nothing(run: KafkaRun, eventually: Eventually) -> None:
    """The successor in the slot ends what was open, reads the frames again and makes the same alerts."""
    run.film(5, frames=2, alerts=True)
    crashing = run.process(0, Moment.UNCOMMITTED)
    eventually(lambda: crashing.ask("reached"), "alerts in an open transaction", START_SECONDS)
    crashing.kill()
    run.dismiss(crashing)
    run.film(5, frames=2, alerts=False)
    run.worker(0)
    eventually(run.settled, seconds=TAKEOVER_SECONDS)
    run.finish()


@pytest.mark.parametrize("ending", ["commit", "abort"])
def test_a_takeover_waits_for_the_transaction_that_another_worker_has_open(
    run: KafkaRun, eventually: Eventually, ending: str
) -> None:
    """If it is committed after all, its alerts are the taker's cool-down; if not, the frames are the taker's to alert
    on."""
    run.film(6, frames=2, alerts=True)
    owner = run.process(0, Moment.UNCOMMITTED)
    eventually(lambda: owner.ask("reached"), "alerts in an open transaction", START_SECONDS)
    owner.freeze()
    asks = Gate(Moment.TAKING_OVER)
    run.worker(1, at=asks)
    eventually(asks.reached.is_set, "the takeover", TAKEOVER_SECONDS)
    asks.open()
    if ending == "commit":
        owner.thaw()
        owner.ask("open")
    else:
        owner.kill()
        run.dismiss(owner)
        run.worker(0)
    run.film(6, frames=2, alerts=False)
    eventually(run.settled, seconds=TAKEOVER_SECONDS)
    finished = run.finish()
    if ending == "commit":
        assert 0 in finished.alerters
    else:
        assert 1 in finished.alerters, "the taker; a successor in the owner's slot may have had some of it by then"


def test_a_restarted_camera_is_told_from_the_camera_before(run: KafkaRun, eventually: Eventually) -> None:
    """Its sequences begin at 0 again: that ends no pass, for another worker neither, and repeats no alert's id."""
    first = run.worker(0)
    run.film(7, frames=3, alerts=True)
    eventually(run.settled)
    assert not first.stop()
    run.dismiss(first)
    run.restart_cameras()
    run.film(7, frames=3, alerts=False)
    run.worker(0)
    eventually(run.settled)
    run.restart_cameras()
    run.let_pass(COOLDOWN_SECONDS)
    run.film(7, frames=3, alerts=True)
    eventually(run.settled)
    finished = run.finish()
    assert {(alert.camera_run, alert.sequence) for alert in finished.alerts} == {("life-0", 0), ("life-2", 0)}


def test_a_camera_whose_clock_is_stepped_alerts_no_pass_twice(run: KafkaRun, eventually: Eventually) -> None:
    """By a step beyond the tolerance the append time counts, which goes on as if nothing had been."""
    run.worker(0)
    run.film(3, frames=2, alerts=True)
    run.let_pass(STEP_SECONDS)
    run.film(3, frames=2, alerts=False)
    eventually(run.settled)
    run.let_pass(-STEP_SECONDS)
    run.film(3, frames=2, alerts=False)
    eventually(run.settled)
    run.finish()


def test_what_retention_takes_from_a_slow_consumer_is_expired(run: KafkaRun, eventually: Eventually) -> None:
    """It is overtaken while it holds batches: the gap is counted in a receipt, and it goes on behind it."""
    gate, paused = Gate(Moment.DECIDED), threading.Event()

    def at(moment: Moment) -> None:
        if moment is Moment.PAUSED:
            paused.set()
        gate(moment)

    run.worker(0, at=at, batch_limit=1)
    run.film(1, frames=8, alerts=True, cameras=[0])
    eventually(paused.is_set, "a full worker")
    run.film(2, frames=6, alerts=False, cameras=[0])
    run.film(2, frames=4, alerts=True, cameras=[0])
    gone = run.delete_frames(0, but=4)
    gate.open()
    eventually(run.settled)
    (expired,) = run.finish().expired
    assert (expired.partition, expired.end) == (gone.partition, gone.end)
    assert 6 <= expired.end - expired.first < gone.end - gone.first
