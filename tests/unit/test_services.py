"""Kafka and Ray beside a command: why they ended, and that a start which is given up is not waited for."""

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from pipeline.errors import BrokerError, ClusterError, ResourceError
from pipeline.runtime import services as module
from pipeline.runtime.services import Services, services
from pipeline.runtime.settings import Kafka, Run, Security, Settings

FULL = "ERROR Error while appending records to frames-0 in dir /tmp/x (java.io.IOException: No space left on device)"


def ended(said: str) -> SimpleNamespace:
    """A local Kafka or Ray that is no more, with the last line of its log."""
    return SimpleNamespace(address="127.0.0.1:9092", alive=lambda: False, last_log_line=lambda: said)


def test_a_kafka_that_ended_is_reported_with_the_line_that_says_why() -> None:
    """The folder with its log is gone when the command ends."""
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:9092 ended in mid-run: OutOfMemoryError"):
        Services(Settings(), None, ended("OutOfMemoryError"), None).check()  # type: ignore[arg-type]  # a fake


def test_a_kafka_that_ended_of_a_full_disk_is_a_lack_of_the_machine() -> None:
    """Another exit code, and what to do about it."""
    with pytest.raises(ResourceError, match=r"disk is full .*No space left on device.*set TMPDIR"):
        Services(Settings(), None, ended(FULL), None).check()  # type: ignore[arg-type]  # a fake


def test_a_ray_that_ended_is_reported_with_the_line_that_says_why() -> None:
    """Its log goes with it too."""
    with pytest.raises(ClusterError, match="ended in mid-run: raylet died"):
        Services(Settings(), ended("raylet died"), None, None).check()  # type: ignore[arg-type]  # a fake


class SlowKafka:
    """A Kafka whose first download does not end by itself, but tells its progress all the while."""

    fetching = threading.Event()
    ended = threading.Event()

    def __init__(self, nodes: int, progress: Callable[[int, int], None], notice: Callable[[str], None]) -> None:
        self._progress = progress

    def start(self) -> None:
        """Fetch until the progress is not wanted any more."""
        try:
            for done in range(10_000):
                self._progress(done, 10_000)
                self.fetching.set()
                threading.Event().wait(0.01)
        finally:
            self.ended.set()

    def stop(self) -> None:
        """Nothing was started."""


class QuickKafka:
    """A Kafka that is there at once."""

    address = "127.0.0.1:1"

    def __init__(self, nodes: int, progress: Callable[[int, int], None], notice: Callable[[str], None]) -> None:
        """It fetches nothing."""

    def start(self) -> None:
        """It is there."""

    def wait(self, deadline_seconds: float) -> None:
        """It answers."""

    def stop(self) -> None:
        """Nothing was started."""


def test_a_kafka_that_is_started_is_spoken_to_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the settings say of the Kafka that they would name."""
    monkeypatch.setattr(module, "LocalKafka", QuickKafka)
    settings = Settings(run=Run(ray="auto"), kafka=Kafka(security=Security(protocol="ssl")))
    with services(settings, lambda _: None) as up:
        while not up.kafka_ready:
            threading.Event().wait(0.01)
        assert up.settings.kafka.brokers == QuickKafka.address
        assert up.settings.kafka.security.client_properties() == {"security.protocol": "plaintext"}


def test_a_command_that_ends_does_not_wait_for_kafkas_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the first seconds of a first start; the download ends too, since it would outlive the command."""
    monkeypatch.setattr(module, "LocalKafka", SlowKafka)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt), services(Settings(run=Run(ray="auto")), said.append):
        assert SlowKafka.fetching.wait(10)
        raise KeyboardInterrupt
    assert SlowKafka.ended.is_set()
    assert 0 < len(said) < 10_000
    assert said[0].startswith("Kafka is being fetched: 0 %")
