"""How ``lamppost run`` ends: asked to, killed, or without its Kafka; and what others of its group make of it."""

import os
import signal
from collections.abc import Callable

import pytest
from command import LEFT_SECONDS, START_SECONDS, Command
from conftest import Site

pytestmark = pytest.mark.integration

Lamppost = Callable[..., Command]
Eventually = Callable[..., None]

IN_HAND = 32
"""More frames than that were consumed and not committed when a run is asked to end: two batches at least."""
BROKER_GONE = 4
"""Exit code of a broker that went away, as in docs/errors.md."""


def run(lamppost: Lamppost, site: Site, name: str) -> Command:
    """A run with one worker and one shard that has accounted for frames sent after its start."""
    command = lamppost("run", "--brokers", site.kafka.address, "--workers", "1", "--shards", "1", "--run-name", name)
    command.wait_until(lambda: f"run {name} started" in command.out, "greeting")
    return command


def working(command: Command, site: Site, name: str) -> None:
    """Wait until the run commits."""
    command.wait_until(lambda: any(receipt.run == name for receipt in site.receipts()), "receipt")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_drains_and_leaves_nothing(
    lamppost: Lamppost, site: Site, eventually: Eventually, number: int
) -> None:
    """In the midst of frames: all that it has taken is committed, its summary adds up, and the exit code is 0."""
    command = run(lamppost, site, "north")
    site.send(frames=200)
    taken: dict[int, int] = {}

    def hands_full() -> bool:
        taken.update(site.consumed(command))
        return sum(taken.values()) - sum(site.committed().values()) > IN_HAND

    command.wait_until(hands_full, "frames in hand")
    command.signal(number)
    assert command.process.wait(60) == 0, command.err
    assert command.err == ""
    eventually(lambda: not command.left, "the end of everything")
    committed = site.committed()
    assert {number: offset for number, offset in taken.items() if committed[number] < offset} == {}
    assert sum(committed.values()) < sum(site.ends().values()), "it ended in the midst of frames"
    assert site.audit(committed).balanced
    assert f"{sum(committed.values())} processed, 0 shed; 0 alerts" in command.out


def test_nothing_is_left_of_a_killed_command(lamppost: Lamppost, site: Site, eventually: Eventually) -> None:
    """After kill -9 its Ray goes with all its processes and its folder; the same run, started again, does the work."""
    command = run(lamppost, site, "north")
    site.send(frames=100)
    working(command, site, "north")
    command.signal(signal.SIGKILL)
    assert command.process.wait(10) == -signal.SIGKILL
    eventually(lambda: not command.left, "the end of everything", LEFT_SECONDS)
    site.send(frames=10)
    successor = run(lamppost, site, "north")
    successor.wait_until(lambda: site.audit().balanced, "balance")
    successor.signal(signal.SIGINT)
    assert successor.process.wait(60) == 0, successor.err


def test_a_broker_that_goes_away_is_one_line_and_an_exit_code(
    lamppost: Lamppost, site: Site, eventually: Eventually
) -> None:
    """The line names the address; nothing is left, and nobody has to read a traceback or librdkafka's log."""
    command = run(lamppost, site, "north")
    site.send(frames=10)
    working(command, site, "north")
    address = site.kafka.address
    os.kill(site.kafka.pid, signal.SIGKILL)
    assert command.process.wait(START_SECONDS) == BROKER_GONE, command.err
    (line,) = command.err.splitlines()
    assert line.startswith("lamppost: ")
    assert address in line
    assert "Traceback" not in command.out
    assert "rdkafka" not in command.out
    eventually(lambda: not command.left, "the end of everything")


def test_a_second_run_joins_the_group_and_leaves_it(lamppost: Lamppost, site: Site, eventually: Eventually) -> None:
    """Frames come in all the while; each is accounted for once, by the one or the other."""
    first, second = run(lamppost, site, "north"), run(lamppost, site, "south")

    def south_works() -> bool:
        site.send_if_settled(frames=2)
        return any(receipt.run == "south" for receipt in site.receipts())

    second.wait_until(south_works, "work of the second run")
    second.signal(signal.SIGINT)
    while second.process.poll() is None:
        site.send_if_settled(frames=2)
    assert second.process.returncode == 0, second.err
    site.send(frames=10)
    first.wait_until(lambda: site.audit().balanced, "balance")
    first.signal(signal.SIGINT)
    assert first.process.wait(60) == 0, first.err
    assert {receipt.run for receipt in site.receipts()} == {"north", "south"}
    assert site.audit().balanced
    eventually(lambda: not [*first.left, *second.left], "the end of everything")
