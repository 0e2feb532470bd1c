"""A training of an embedder from its pictures to its weights, which goes on where it was after an interruption."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from pipeline.synthetic.seeds import Population, person_seed
from pipeline.vision.training.batches import Batch, Mixture, batches
from pipeline.vision.training.checkpoints import load_checkpoint, save_checkpoint
from pipeline.vision.training.log import TrainingLog
from pipeline.vision.training.patches import Patches, load_or_render
from pipeline.vision.training.validation import Validation

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Progress = Callable[[str, int, int, float], None]
"""Called with the stage, the steps done, all steps, and the latest loss (NaN while rendering)."""


class Learner(Protocol):
    """The state of a training run between two steps."""

    step: int
    network: nn.Module
    device: torch.device

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""

    @property
    def seeing(self) -> nn.Module:
        """The network as it sees crops at this step."""

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""

    def update(self, batch: Batch) -> float:
        """Take one step and return its loss."""


def learn(
    make: Callable[[Patches], Learner],
    plan: "DataclassInstance",
    mixture: Mixture,
    checkpoint: Path,
    *,
    steps: int,
    processes: int,
    checkpoint_every: int,
    validated: int,
    progress: Progress,
) -> dict[str, Tensor]:
    """Train what `make` returns for the pictures of the mixture's people, and return its network's state dict.

    The folder of `checkpoint`, which belongs to the plan, keeps the rendered pictures. A file beside it, `….csv`, gets
    the loss and the TPIR on `validated` people of the validation population.
    """
    folder = checkpoint.parent
    folder.mkdir(parents=True, exist_ok=True)

    def render(stage: str, done: int, total: int) -> None:
        progress(stage, done, total, float("nan"))

    seed, number = mixture.seed, mixture.people
    people = [person_seed(Population.TRAINING, i) for i in range(number)]
    patches = load_or_render(folder / f"patches-{seed}-{number}.npz", people, seed, processes, render)
    validation = Validation(
        validated, folder, seed, processes, lambda _, done, total: render("render validation", done, total)
    )
    # all steps have one shape, for which a GPU's fastest kernels are worth a search
    torch.backends.cudnn.benchmark = True
    learner = make(patches)
    saved = load_checkpoint(checkpoint, plan)
    if saved is not None:
        learner.restore(saved)
    log = TrainingLog(checkpoint.with_suffix(".csv"), "validation_tpir")
    log.begin(learner.step)
    for step, batch in enumerate(batches(patches, mixture, learner.step, steps), learner.step):
        rate = learner.rate
        loss = learner.update(batch)
        log.add(loss)
        progress("train", step + 1, steps, loss)
        if (step + 1) % checkpoint_every == 0 or step + 1 == steps:
            log.write(step + 1, rate, validation.tpir(learner.seeing, learner.device))
            save_checkpoint(checkpoint, plan, learner.state())
    return {name: tensor.cpu() for name, tensor in learner.network.eval().state_dict().items()}
