"""A Ray for the tests that drive actors themselves."""

import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

# so that what they assert says what was found
pytest.register_assert_rewrite("kafka_moments", "kafka_run", "kafka_worker")


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
