"""Where the shipped networks lie, by their embedder. Importing this imports no torch."""

from pathlib import Path
from typing import Literal

Backbone = Literal["compact", "resnet50"]
"""The embedder's networks."""


def shipped_folder(backbone: Backbone = "compact") -> Path:
    """Return the folder of a detector, an embedder and the manifest of both."""
    return Path(__file__).parent / "weights" / backbone
