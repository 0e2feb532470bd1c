"""Checkpoints that a training run resumes from."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pipeline.errors import ModelError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def save_checkpoint(path: Path, plan: "DataclassInstance", state: dict[str, Any]) -> None:
    """Write a run's state beside the plan it belongs to; an interruption leaves the older file whole."""
    part = path.with_suffix(".part")
    torch.save({"plan": asdict(plan), "state": state}, part)
    part.replace(path)


def load_checkpoint(path: Path, plan: "DataclassInstance") -> dict[str, Any] | None:
    """Return a saved state, or None if there is none; raise ModelError if it belongs to another plan."""
    if not path.exists():
        return None
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if saved["plan"] != asdict(plan):
        raise ModelError(f"{path} is the checkpoint of another training plan: remove it, or name another folder")
    state: dict[str, Any] = saved["state"]
    return state
