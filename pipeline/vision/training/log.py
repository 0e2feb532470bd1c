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
        kept: list[list[str]] = []
        if step and self.path.exists():
            with self.path.open(newline="") as file:
                rows = list(csv.reader(file))[1:]
            # a run that was killed may have left half a row
            kept = [row for row in rows if len(row) == len(self._columns()) and int(row[0]) <= step]
        part = self.path.with_suffix(".csv.part")
        with part.open("w", newline="") as file:
            csv.writer(file).writerows([self._columns(), *kept])
        part.replace(self.path)

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
