"""Training of the embedder: first a contrast within the batch, then softmax over all people with a late margin."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.vision.backbones import Backbone, backbone_network
from pipeline.vision.forward import to_input
from pipeline.vision.networks import EMBEDDING
from pipeline.vision.training.batches import Batch, Mixture, exposed
from pipeline.vision.training.learning import Progress, learn
from pipeline.vision.training.patches import VIEWS, Patches
from pipeline.vision.training.schedule import learning_rate

PEOPLE_PER_BATCH: Final = 64
VIEWS_PER_PERSON: Final = 4
BATCH: Final = PEOPLE_PER_BATCH * VIEWS_PER_PERSON
LEARNING_RATES: Final[dict[Backbone, float]] = {"compact": 2e-3, "resnet50": 1e-3}
"""At their greatest; the deeper network takes smaller steps."""


@dataclass(frozen=True, slots=True)
class EmbedderPlan:
    """What determines the weights: people and steps, the share of contrastive steps, and the optimiser's numbers."""

    seed: int = 0
    people: int = 20_000
    steps: int = 5_000
    contrastive_share: float = 0.3
    margin_from_share: float = 0.5
    margin: float = 0.3
    scale: float = 32.0
    temperature: float = 0.08
    learning_rate: float = LEARNING_RATES["compact"]
    weight_decay: float = 0.02


def contrastive_loss(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, eq. 2) of normalised embeddings float[N, d]."""
    logits = embeddings @ embeddings.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    log_share = logits - torch.logsumexp(logits.masked_fill(itself, float("-inf")), dim=1, keepdim=True)
    return -(log_share * positive).sum(1).div(positive.sum(1)).mean()


def margin_loss(embeddings: Tensor, classes: Tensor, labels: Tensor, margin: float, scale: float) -> Tensor:
    """Additive-margin softmax loss (Wang et al. 2018, CosFace) over all people."""
    cosines = embeddings @ functional.normalize(classes).T
    cosines = cosines - margin * functional.one_hot(labels, len(classes))
    return functional.cross_entropy(scale * cosines, labels)


@torch.no_grad()
def _class_means(network: nn.Module, patches: Patches, plan: EmbedderPlan, device: torch.device) -> Tensor:
    """Return the mean direction of two pictures of each person, float[people, d], to start the softmax from."""
    network.eval()
    rng = np.random.default_rng([plan.seed, plan.steps])
    means = torch.zeros(plan.people, EMBEDDING, device=device)
    for first in range(0, plan.people, BATCH):
        people = np.arange(first, min(first + BATCH, plan.people))
        for view in (0, 1):
            crops = np.stack([patches.jittered_crop(int(p) * VIEWS + view, rng) for p in people])
            means[first : first + len(people)] += functional.normalize(network(to_input(crops, device)))
    network.train()
    return functional.normalize(means)


class _Trainer:
    """The state of a training run between two steps."""

    def __init__(self, plan: EmbedderPlan, backbone: Backbone, patches: Patches, device: torch.device) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.patches, self.device, self.step = plan, patches, device, 0
        self.network: nn.Module = backbone_network(backbone).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this pair
        self.classes = nn.Parameter(torch.zeros(plan.people, EMBEDDING, device=device))
        self.optimiser = torch.optim.AdamW(
            [
                {"params": self.network.parameters(), "weight_decay": plan.weight_decay},
                {"params": [self.classes], "weight_decay": 0.0},
            ],
            lr=plan.learning_rate,
        )

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return learning_rate(self.step, self.plan.steps, self.plan.learning_rate)

    @property
    def seeing(self) -> nn.Module:
        """The network, at every step on whole crops."""
        return self.network

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "classes": self.classes.data,
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.step = int(state["step"])
        self.network.load_state_dict(state["network"])
        self.classes.data.copy_(state["classes"])
        self.optimiser.load_state_dict(state["optimiser"])

    def update(self, batch: Batch) -> float:
        """Take one step and return its loss; the first with the softmax starts from the people's mean templates."""
        if self.step == int(np.ceil(self.plan.contrastive_share * self.plan.steps)):
            self.classes.data.copy_(_class_means(self.network, self.patches, self.plan, self.device))
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        crops, gain, classes = batch
        labels = torch.from_numpy(classes).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            raw = self.network(exposed(crops, gain, self.device))
        embeddings = functional.normalize(raw.float())
        share = self.step / self.plan.steps
        if share < self.plan.contrastive_share:
            loss = contrastive_loss(embeddings, labels, self.plan.temperature)
        else:
            ramp = (share - self.plan.contrastive_share) / (self.plan.margin_from_share - self.plan.contrastive_share)
            margin = self.plan.margin * min(1.0, max(0.0, ramp))
            loss = margin_loss(embeddings, self.classes, labels, margin, self.plan.scale)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
        self.optimiser.step()
        self.step += 1
        return float(loss.detach())


def train_embedder(
    plan: EmbedderPlan,
    folder: Path,
    *,
    device: str = "cpu",
    processes: int = 1,
    checkpoint_every: int = 200,
    validated: int = 600,
    backbone: Backbone = "compact",
    progress: Progress,
) -> dict[str, Tensor]:
    """Train an embedder on synthetic people and return its state dict.

    `folder` keeps the rendered pictures and a checkpoint: the same call after an interruption goes on where it was. A
    file beside the checkpoint, `….csv`, gets the loss and the TPIR on `validated` people of the validation population.
    """
    name = "embedder.pt" if backbone == "compact" else f"embedder-{backbone}.pt"
    return learn(
        lambda patches: _Trainer(plan, backbone, patches, torch.device(device)),
        plan,
        Mixture(plan.seed, plan.people, PEOPLE_PER_BATCH, VIEWS_PER_PERSON),
        folder / name,
        steps=plan.steps,
        processes=processes,
        checkpoint_every=checkpoint_every,
        validated=validated,
        progress=progress,
    )
