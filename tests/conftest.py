"""What tests of more than one folder share: one local Kafka for the whole session, started by the first that asks."""

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from pipeline.streams.client import Connection

BROKERS_VARIABLE = "TEST_KAFKA_BROKERS"
"""Names a Kafka to test against instead of a local one; a test that needs its files is skipped then."""


@pytest.fixture(scope="session", autouse=True)
def _interrupts_reach_children() -> None:
    """A shell starts its background jobs with SIGINT ignored, and the commands under test would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A connection to a Kafka that has nothing of interest on it; topics of a test carry its `prefix`."""
    if brokers := os.environ.get(BROKERS_VARIABLE):
        yield Connection(brokers)
        return
    from pipeline.local.kafka import LocalKafka  # noqa: PLC0415  # most tests need no broker, nor its modules

    with LocalKafka() as broker:
        yield Connection(broker.address)


@pytest.fixture
def prefix() -> str:
    """A start for names of topics, groups and transactional ids that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}-"


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Calls a condition until it holds, and fails the test if it does not within 20 s."""

    def check(holds: Callable[[], object], what: str = "the condition", seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
            time.sleep(0.01)

    return check
