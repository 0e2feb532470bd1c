"""When a local Kafka still serves, by how many of its nodes are left."""

from types import SimpleNamespace

import pytest

from pipeline.local.kafka import LocalKafka


def node(running: bool) -> SimpleNamespace:
    """A node, and the line of its log that says why it ended if it did."""
    return SimpleNamespace(alive=lambda: running, last_log_line=lambda: "running" if running else "OutOfMemoryError")


@pytest.mark.parametrize(
    ("running", "serves"),
    [([True], True), ([False], False), ([True, False, True], True), ([False, False, True], False)],
)
def test_it_serves_with_its_only_node_or_two_of_three(running: list[bool], serves: bool) -> None:
    """What is left of two is no majority, so it is told as the end of the whole."""
    kafka = LocalKafka(nodes=len(running))
    kafka.nodes = {number: node(each) for number, each in enumerate(running, 1)}  # type: ignore[misc]  # fakes
    assert kafka.alive() is serves


def test_the_line_that_is_told_is_that_of_the_node_that_ended() -> None:
    """The others know only that it is gone."""
    kafka = LocalKafka(nodes=3)
    assert kafka.last_log_line() == "it was not started"
    assert not kafka.alive()
    kafka.nodes = {1: node(True), 2: node(False), 3: node(True)}  # type: ignore[dict-item]  # fakes
    assert kafka.last_log_line() == "OutOfMemoryError"
