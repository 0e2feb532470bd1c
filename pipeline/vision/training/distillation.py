"""Training of a large embedder without a GPU: it learns to repeat the templates of a small one.

A template to repeat says more of a picture than which person it is of, so a small part of the pictures will do; the
result is at best as good as its teacher. The first steps see crops of half the size, at a quarter of the cost.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.vision.backbones import Backbone, backbone_network
from pipeline.vision.training.batches import Batch, Mixture, exposed
from pipeline.vision.training.learning import Progress, learn
from pipeline.vision.training.schedule import learning_rate

BATCH: Final = 128
MICRO_BATCH: Final = 64
"""Pictures whose activations are in memory at a time: 60 MB each at the full size."""


@dataclass(frozen=True, slots=True)
class DistillationPlan:
    """What determines the weights, with the teacher's: people and steps, and the optimiser's numbers."""

    teacher: str
    """Version of the network whose templates are learnt."""
    seed: int = 0
    people: int = 20_000
    steps: int = 1_000
    half_size_share: float = 0.9
    """Share of the steps on crops of half the size."""
    learning_rate: float = 1e-3
    weight_decay: float = 0.02


class _Student:
    """The state of a training run between two steps."""

    def __init__(self, plan: DistillationPlan, backbone: Backbone, teacher: nn.Module, device: torch.device) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.device, self.step = plan, device, 0
        self.teacher = teacher.to(device).eval()
        self.network: nn.Module = backbone_network(backbone).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this pair
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
        )

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {"step": self.step, "network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.step = int(state["step"])
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])

    def update(self, batch: Batch) -> float:
        """Take one step and return its loss: 1 − cosine of the two networks' templates, averaged."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.plan.steps, self.plan.learning_rate)
        crops, gain, _ = batch
        self.optimiser.zero_grad()
        total = 0.0
        for first in range(0, len(crops), MICRO_BATCH):
            part = slice(first, first + MICRO_BATCH)
            loss = self._distance(exposed(crops[part], gain[part], self.device)) / len(crops)
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            total += float(loss.detach())
        self.optimiser.step()
        self.step += 1
        return total

    @property
    def seeing(self) -> nn.Module:
        """The network, behind what halves its crops while it trains on those."""
        if self.step < self.plan.half_size_share * self.plan.steps:
            return nn.Sequential(nn.AvgPool2d(2), self.network)
        return self.network

    def _distance(self, pictures: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = functional.normalize(self.teacher(pictures))
        with torch.autocast(self.device.type, torch.bfloat16):
            raw = self.seeing(pictures)
        return (1.0 - (functional.normalize(raw.float()) * wanted).sum(1)).sum()


def distil_embedder(
    plan: DistillationPlan,
    teacher: nn.Module,
    folder: Path,
    *,
    device: str = "cpu",
    processes: int = 1,
    checkpoint_every: int = 50,
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
        peak_rate=plan.learning_rate,
        processes=processes,
        checkpoint_every=checkpoint_every,
        validated=validated,
        progress=progress,
    )
