"""Training of a large embedder without a GPU: it learns to repeat the templates of a small one.

A template to repeat says more of a picture than which person it is of, so a small part of the pictures will do; the
result is at best as good as its teacher. Most steps see crops of a quarter of the size, at a sixteenth of the cost, and
the last few whole ones.
"""

from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.vision.backbones import Backbone, backbone_network
from pipeline.vision.training.batches import Batch, Mixture, exposed
from pipeline.vision.training.learning import Progress, learn

BATCH: Final = 64
"""Pictures of a step, whose activations are in memory: 60 MB each at the full size."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of the training on crops of one size."""

    reduction: int
    """Divides the crops' width and height: 1, 2, 4, …"""
    steps: int
    learning_rate: float
    """At its first step; from there it falls in a line to the next stage's, in the last to zero."""


@dataclass(frozen=True, slots=True)
class DistillationPlan:
    """What determines the weights, with the teacher's: people and steps, and the optimiser's numbers."""

    teacher: str
    """Version of the network whose templates are learnt."""
    seed: int = 0
    people: int = 20_000
    stages: tuple[Stage, ...] = (Stage(4, 1_500, 2e-3), Stage(2, 300, 1.5475e-3), Stage(1, 100, 5e-4))
    """In the order in which they are gone through."""
    warm_up: int = 117
    """Steps over which the learning rate rises in a line."""
    weight_decay: float = 0.02

    @property
    def steps(self) -> int:
        """All of them together."""
        return sum(stage.steps for stage in self.stages)

    def at(self, step: int) -> tuple[int, float]:
        """Return the reduction and the learning rate of a step."""
        begins = [0, *accumulate(stage.steps for stage in self.stages)]
        stage = self.stages[bisect_right(begins[1:-1], step)]
        rate = float(np.interp(step, begins, [*(each.learning_rate for each in self.stages), 0.0]))
        return stage.reduction, rate * min(1.0, step / self.warm_up + 0.01)

    def shortened(self, steps: int) -> "DistillationPlan":
        """Return this plan with so many steps, spread over the stages like its own."""
        ends = [round(end * steps / self.steps) for end in accumulate(stage.steps for stage in self.stages)]
        counts = [end - begin for begin, end in pairwise([0, *ends])]
        stages = (replace(stage, steps=count) for stage, count in zip(self.stages, counts, strict=True) if count)
        return replace(self, stages=tuple(stages), warm_up=max(1, round(self.warm_up * steps / self.steps)))


class _Student:
    """The state of a training run between two steps."""

    def __init__(self, plan: DistillationPlan, backbone: Backbone, teacher: nn.Module, device: torch.device) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.device, self.step = plan, device, 0
        self.teacher = teacher.to(device).eval()
        self.network: nn.Module = backbone_network(backbone).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this pair
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=self.rate, weight_decay=plan.weight_decay)

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {"step": self.step, "network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.step = int(state["step"])
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self.plan.at(self.step)[1]

    @property
    def seeing(self) -> nn.Module:
        """The network, behind what makes its crops as small as the next step's."""
        reduction, _ = self.plan.at(self.step)
        return nn.Sequential(nn.AvgPool2d(reduction), self.network) if reduction > 1 else self.network

    def update(self, batch: Batch) -> float:
        """Take one step and return its loss: 1 − cosine of the two networks' templates, averaged."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        crops, gain, _ = batch
        pictures = exposed(crops, gain, self.device)
        with torch.no_grad():
            wanted = functional.normalize(self.teacher(pictures))
        with torch.autocast(self.device.type, torch.bfloat16):
            raw = self.seeing(pictures)
        loss = (1.0 - (functional.normalize(raw.float()) * wanted).sum(1)).mean()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
        self.optimiser.step()
        self.step += 1
        return float(loss.detach())


def distil_embedder(
    plan: DistillationPlan,
    teacher: nn.Module,
    folder: Path,
    *,
    device: str = "cpu",
    processes: int = 1,
    checkpoint_every: int = 100,
    validated: int = 300,
    backbone: Backbone = "resnet50",
    progress: Progress,
) -> dict[str, Tensor]:
    """Train an embedder to repeat a teacher's templates, and return its state dict.

    `folder` keeps the rendered pictures, which are those of `train_embedder`, a checkpoint that the same call goes on
    from, and the log.
    """
    return learn(
        lambda _: _Student(plan, backbone, teacher, torch.device(device)),
        plan,
        Mixture(plan.seed, plan.people, BATCH, 1),
        folder / f"embedder-{backbone}-distilled.pt",
        steps=plan.steps,
        processes=processes,
        checkpoint_every=checkpoint_every,
        validated=validated,
        progress=progress,
    )
