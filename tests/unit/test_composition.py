"""The composition root: what travels to actors, and what a worker's parts free when they are closed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import BrokerError
from pipeline.runtime import composition
from pipeline.runtime.composition import Looking, WorkerFactory, run_plan
from pipeline.runtime.settings import Kafka, Security, Settings
from pipeline.testing.align import align
from pipeline.testing.detector import FakeDetector
from pipeline.testing.embedder import FakeEmbedder
from pipeline.vision.decode import decode_jpeg


def test_actors_find_the_files_of_the_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They work in another folder than the command."""
    monkeypatch.chdir(tmp_path)
    plan = run_plan(
        Settings(kafka=Kafka(security=Security(protocol="sasl_ssl", mechanism="PLAIN", password_file=Path("secret")))),
        "run",
    )
    for maker in (plan.make_worker, plan.make_shard, plan.heartbeat):
        assert maker.settings.kafka.security.password_file == tmp_path / "secret"


class StuckOutbox:
    """An outbox whose broker is gone when it is closed."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def close(self) -> None:
        """See the port."""
        raise BrokerError("Kafka at a:1: abort of a transaction failed")


def test_the_metrics_server_stops_though_the_outbox_cannot_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its port is free for the successor, and what went wrong is said all the same."""
    stops: list[str] = []
    monkeypatch.setattr(composition, "KafkaOutbox", StuckOutbox)
    monkeypatch.setattr(composition, "require_dimension", lambda *_: None)  # it would look into Kafka's watchlist
    monkeypatch.setattr(
        composition, "serve", lambda *_: SimpleNamespace(port=1, stop=lambda: stops.append("metrics server"))
    )
    factory = WorkerFactory(
        Settings(kafka=Kafka(brokers="127.0.0.1:1")),
        "run",
        lambda _: Looking(decode_jpeg, FakeDetector(), align, FakeEmbedder(), 0.9),
    )
    parts = factory(0)
    with pytest.raises(BrokerError, match="abort of a transaction"):
        parts.close()
    assert stops == ["metrics server"]
