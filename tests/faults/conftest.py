"""A Kafka with topics, and commands that a test may end as it likes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import Command, Site

from pipeline.local.kafka import LocalKafka


@pytest.fixture
def site() -> Iterator[Site]:
    """A Kafka of the test's own, with topics and nothing on them."""
    with LocalKafka() as kafka:
        made = Site(kafka)
        yield made
        made.close()


@pytest.fixture
def lamppost(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Starts commands in a folder with settings that shed nothing; what a test leaves running is killed."""
    started: list[Command] = []
    (tmp_path / "block.toml").write_text('[overload]\npolicy = "block"\n')

    def start(*arguments: str, program: Path | None = None) -> Command:
        started.append(Command((*arguments, "--settings", "block.toml"), tmp_path, len(started), program))
        return started[-1]

    yield start
    for command in started:
        command.process.kill()
        command.process.wait()
