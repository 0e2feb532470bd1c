"""Checkpoints that a training run resumes from."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

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
    """Return a saved state, or None if there is none.

    Raises ModelError if it belongs to another plan, or if the file is damaged.
    """
    if not path.exists():
        return None
    try:
        its, state = _read(path)
    except OSError:
        raise  # it says itself which file, and that its bytes could not be had
    except Exception as error:  # torch raises EOFError, RuntimeError, UnpicklingError and others for such a file
        raise ModelError(f"{path} is damaged or no checkpoint: remove it to start again") from error
    if its != asdict(plan):
        raise ModelError(f"{path} is the checkpoint of another training plan: remove it, or name another folder")
    return state


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The plan and the state in a file."""
    with ZipFile(path) as archive:  # torch does not look at the sums, and would go on from torn weights
        torn = archive.testzip()
    if torn is not None:
        raise BadZipFile(f"bad CRC-32 of {torn}")
    saved = torch.load(path, map_location="cpu", weights_only=True)
    return dict(saved["plan"]), dict(saved["state"])
