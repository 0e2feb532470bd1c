"""What integration tests of more than one file share: a Ray, a protected Kafka, and the command line."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from secured_kafka import Protected

# so that what they assert says what was found
pytest.register_assert_rewrite("kafka_moments", "kafka_run", "kafka_worker", "street_run")


@pytest.fixture(scope="module")
def ray_connection() -> Iterator[Any]:
    """The module ray, connected to a Ray of the file's own, whose folder is short enough for its sockets.

    In this process and not a `LocalRay`, whose environment would have to be set before anything imported ray.
    """
    import ray  # noqa: PLC0415  # it takes a second, which other tests need not spend

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="lp-ray-", dir="/tmp") as folder:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        ray.init(
            num_cpus=1,
            include_dashboard=False,
            object_store_memory=80 * 1024 * 1024,
            log_to_driver=False,
            configure_logging=False,
            _temp_dir=folder,
        )
        try:
            yield ray
        finally:
            ray.shutdown()


@pytest.fixture(scope="module")
def portable(ray_connection: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    """Actors' processes cannot import the tests' files, so what is defined in this one, and in the modules that it
    lists as `PORTABLE`, travels whole."""
    modules = (request.module, *getattr(request.module, "PORTABLE", ()))
    for module in modules:
        ray_connection.cloudpickle.register_pickle_by_value(module)
    yield
    for module in modules:
        ray_connection.cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Protected]":
    """A protected Kafka of the file's own."""
    from secured_kafka import protected_kafka  # noqa: PLC0415  # most tests need no such Kafka, nor its modules

    with protected_kafka(tmp_path_factory.mktemp("keys")) as made:
        yield made


@pytest.fixture
def lamppost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process: exit code, stdout, stderr."""
    from pipeline.cli import main  # noqa: PLC0415  # as above

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lamppost", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        seen = capsys.readouterr()
        return int(ended.value.code or 0), seen.out, seen.err

    for name in [name for name in os.environ if name.startswith("LAMPPOST_")]:
        monkeypatch.delenv(name)
    return call
