"""What unit tests of more than one file share: a run in memory, a Ray in this process, and settings of their own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from memory_run import MemoryRun
    from ray_in_process import RayInProcess

pytest.register_assert_rewrite("resolved_settings", "supervised_run")  # so that what they assert says what was found


@pytest.fixture
def run() -> "Iterator[MemoryRun]":
    """A run without workers; those that a test starts end with it."""
    from memory_run import MemoryRun  # noqa: PLC0415  # most tests need no actors, nor their modules

    with MemoryRun() as started:
        yield started


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> "Iterator[RayInProcess]":
    """A Ray in place of the real one, wherever a supervisor speaks to it; what a test leaves running is stopped."""
    from ray_in_process import RayInProcess  # noqa: PLC0415  # as above

    made = RayInProcess()
    made.install(monkeypatch)
    yield made
    for actor in made.made:
        actor.stop(0.0)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own LAMPPOST_ variables must not decide a test."""
    for name in [name for name in os.environ if name.startswith("LAMPPOST_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a settings file."""

    def write(text: str) -> Path:
        path = tmp_path / "lamppost.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
