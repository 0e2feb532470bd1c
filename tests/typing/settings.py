"""Checked by mypy and never run: what a caller of the settings sees."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, assert_type

from pipeline.runtime.settings import Cameras, Settings
from pipeline.runtime.settings_sources import Option, Resolved, Row, resolve


def resolved(file: Path) -> None:
    """Sections are typed, and None is told from a value."""
    result = resolve((Option("--fps", "cameras.fps", 4.0),), file)
    assert_type(result, Resolved)
    assert_type(result.settings, Settings)
    assert_type(result.origins, Mapping[str, str])
    assert_type(result.rows(), list[Row])
    assert_type(result.settings.kafka.brokers, str | None)
    assert_type(result.settings.overload.policy, Literal["shed-oldest", "block"])
    assert_type(result.settings.cameras.sources, tuple[str, ...])


def constructed() -> Settings:
    """Tests construct what they need by keyword, and a wrong type is refused."""
    Cameras(count="many")  # type: ignore[arg-type]  # the refusal is what is checked
    return Settings(cameras=Cameras(count=2, fps=1.0))
