"""The example of docs/models.md is one that a user can run."""

import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.vision.own_models import OwnEmbedder

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


def test_the_example_makes_an_embedder_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's Python, run as it stands in an empty folder, leaves a manifest that loads."""
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, str(PAGE), "exec"), {})
    embedder = OwnEmbedder(tmp_path / "own" / "embedder.toml")
    assert (embedder.dimension, embedder.threshold) == (64, 0.6)
    assert embedder.embed(np.zeros((2, 112, 112, 3), np.uint8)).shape == (2, 64)
