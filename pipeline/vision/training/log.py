"""What a training run writes down: loss, learning rate and a figure on people and streets it does not train on."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(slots=True)
class TrainingLog:
    """A CSV file with a row per checkpoint; a resumed run drops the rows after the checkpoint that it goes on from."""

    path: Path
    figure: str
    """Name of the column of the validation's figure."""
    _losses: list[float] = field(default_factory=list, init=False)

    def begin(self, step: int) -> None:
        """Keep the rows up to a step, 0 for a fresh start."""
        kept: list[dict[str, str]] = []
        if step and self.path.exists():
            with self.path.open(newline="") as file:
                kept = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns())
            writer.writeheader()
            writer.writerows(kept)

    def add(self, loss: float) -> None:
        """Count the loss of a step."""
        self._losses.append(loss)

    def write(self, step: int, learning_rate: float, figure: float) -> None:
        """Write a row: the mean loss since the last one, the learning rate, and the figure."""
        row = (step, f"{np.mean(self._losses):.5f}", f"{learning_rate:.3e}", f"{figure:.4f}")
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow(row)
        self._losses.clear()

    def _columns(self) -> tuple[str, str, str, str]:
        return "step", "loss", "learning_rate", self.figure
