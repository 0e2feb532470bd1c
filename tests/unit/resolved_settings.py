"""What tests of settings ask of them: where one comes from, and what a wrong one says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.runtime.settings_sources import Option, resolve

WriteToml = Callable[[str], Path]


def origin(field: str, options: tuple[Option, ...] = (), file: Path | None = None) -> tuple[str, str]:
    """Value and origin of one setting as they are shown."""
    row = next(row for row in resolve(options, file).rows() if row.field == field)
    return row.value, row.origin


def refusal(options: tuple[Option, ...] = (), file: Path | None = None) -> str:
    """The one line that a wrong setting says."""
    with pytest.raises(SettingsError) as refused:
        resolve(options, file)
    assert "\n" not in str(refused.value)
    return str(refused.value)
