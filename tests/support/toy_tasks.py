"""Small tasks that expose errors of a trainer: a regression with one update, a GAN with two.

Run as a script, it trains the regression in a folder: `python -m tests.support.toy_tasks FOLDER [OPTION=VALUE ...]`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tests.support.evaluation_work import make_stand_in
from utils.evaluation_process import EvaluationProcess
from utils.process_exit import leave
from utils.processes import Processes
from utils.task import Optimization, Samples, Sum, Term, Update
from utils.trainer import Trainer, TrainerOptions, TrainingResult


@dataclasses.dataclass(frozen=True)
class ToyBatch:
    """`inputs` (B, T, 3) and `targets` (B, T, 1), zero on padding; `lengths` (B,)."""

    ids: tuple[str, ...]
    inputs: torch.Tensor
    targets: torch.Tensor
    lengths: torch.Tensor

    @property
    def counts(self):
        return {"frames": int(self.lengths.sum()), "utterances": len(self.ids)}

    @property
    def padded(self):
        return {"frames": self.inputs.shape[0] * self.inputs.shape[1]}

    @property
    def is_padding(self):
        return torch.arange(self.inputs.shape[1], device=self.inputs.device) >= self.lengths[:, None]

    def to(self, device):
        return ToyBatch(self.ids, self.inputs.to(device), self.targets.to(device), self.lengths.to(device))


def make_batch(members: np.ndarray) -> ToyBatch:
    """A batch of toy utterances, each a pure function of its number."""
    lengths = torch.tensor([2 + 3 * int(member) % 11 for member in members])
    inputs = torch.zeros(len(members), int(lengths.max()), 3)
    targets = torch.zeros(len(members), int(lengths.max()), 1)
    for row, (member, length) in enumerate(zip(members, lengths, strict=True)):
        values = torch.randn(int(length), 3, generator=torch.Generator().manual_seed(int(member)))
        inputs[row, :length] = values
        targets[row, :length, 0] = values[:, 0] * values[:, 1] + 1.0
    return ToyBatch(tuple(f"toy-{member}" for member in members), inputs, targets, lengths)


class ToyBatches:
    """Groups of micro-batches over `n_utterances`, drawn by (seed, epoch); disturbs the global generators."""

    def __init__(self, n_utterances=24, batch_size=2, accumulation=1, rank=0, world_size=1, seed=0):
        self.n_utterances, self.batch_size, self.accumulation = n_utterances, batch_size, accumulation
        self.rank, self.world_size, self.seed = rank, world_size, seed

    @property
    def _per_group(self):
        return self.batch_size * self.accumulation * self.world_size

    def groups_per_epoch(self, epoch):
        return self.n_utterances // self._per_group

    def groups(self, epoch, start_group=0):
        random.random(), np.random.rand(), torch.rand(1)  # as a data loader does when it starts
        order = np.random.default_rng([self.seed, epoch]).permutation(self.n_utterances)
        micro_batches = self.accumulation * self.world_size
        for group in range(start_group, self.groups_per_epoch(epoch)):
            members = order[group * self._per_group : (group + 1) * self._per_group]
            dealt = [members[start::micro_batches] for start in range(micro_batches)]
            yield [make_batch(dealt[self.rank + self.world_size * step]) for step in range(self.accumulation)]


class ToyRegression:
    """A small network trained on targets per frame, and their mean per utterance."""

    def __init__(self, dropout=0.0, learning_rate=0.05, ema_decay=0.0):
        network = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 1))
        self.modules = {"network": network}
        self.learning_rate, self.ema_decay = learning_rate, ema_decay
        self.bundles = 0

    def optimizers(self):
        optimizer = torch.optim.AdamW(self.modules["network"].parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.99**step)
        return {"network": Optimization(optimizer, ("network",), schedule, ema_decay=self.ema_decay)}

    def updates(self, batch, step):
        predicted = self.modules["network"](batch.inputs)
        yield Update("network", self._terms(batch, predicted))

    def _terms(self, batch, predicted):
        error = (predicted.float() - batch.targets).masked_fill(batch.is_padding[..., None], 0.0)
        per_utterance = error.sum((1, 2)) / batch.lengths
        return {
            "squared": Term(error.pow(2).sum() / batch.lengths.sum(), per="frames"),
            "mean": Term(per_utterance.pow(2).mean(), weight=0.5, per="utterances"),
        }

    def validate(self, batch):
        terms = self._terms(batch, self.modules["network"](batch.inputs))
        frames = batch.counts["frames"]
        return {"loss": Sum(terms["squared"].value * frames, frames)}

    def samples(self, batch):
        predicted = self.modules["network"](batch.inputs)
        picture = np.zeros((4, 6, 3), dtype=np.uint8)
        return Samples({"toy/picture": picture}, {"toy/audio": predicted[0, :, 0].float().numpy()}, 8000)

    def diagnose(self, losses, step):
        return []

    def bundle(self, folder):
        self.bundles += 1
        (folder / "weights.txt").write_text(str(self.modules["network"].state_dict()["0.weight"].sum().item()))


class ToyGan:
    """Two updates per batch: of a discriminator, then of the generator; schedules per epoch.

    The discriminator skips the first `start_step` steps.
    """

    def __init__(self, start_step=0):
        self.start_step = start_step
        self.modules = {
            "generator": nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)),
            "discriminator": nn.Sequential(nn.Linear(1, 8), nn.LeakyReLU(0.1), nn.Linear(8, 1)),
        }
        self.gradients_seen = []

    def optimizers(self):
        def optimization(name):
            optimizer = torch.optim.SGD(self.modules[name].parameters(), lr=0.1, momentum=0.5)
            schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
            return Optimization(optimizer, (name,), schedule, scheduled_by="epoch")

        return {"discriminator": optimization("discriminator"), "generator": optimization("generator")}

    def updates(self, batch, step):
        real_frames = ~batch.is_padding
        real, fake = batch.targets[real_frames], self.modules["generator"](batch.inputs)[real_frames]
        judge = self.modules["discriminator"]
        if step < self.start_step:
            yield Update("discriminator", {})
            yield Update("generator", {"distance": Term((fake - real).abs().mean(), 2.0)})
            return
        loss = (judge(real) - 1).pow(2).mean() + judge(fake.detach()).pow(2).mean()
        yield Update("discriminator", {"adversarial": Term(loss)})
        loss = (judge(fake) - 1).pow(2).mean()
        self.gradients_seen.append([p.requires_grad for p in self.modules["discriminator"].parameters()])
        yield Update("generator", {"adversarial": Term(loss), "distance": Term((fake - real).abs().mean(), 2.0)})

    def validate(self, batch):
        return {"loss": Sum(0.0, 1)}

    def samples(self, batch):
        return Samples()

    def diagnose(self, losses, step):
        return []

    def bundle(self, folder):
        pass


class BadAt:
    """Valid batches except for one step, whose second micro-batch holds an infinite target."""

    def __init__(self, batches, step):
        self.batches, self.step = batches, step

    def groups_per_epoch(self, epoch):
        return self.batches.groups_per_epoch(epoch)

    def groups(self, epoch, start_group=0):
        for number, group in enumerate(self.batches.groups(epoch, start_group), start_group):
            if number + 1 == self.step:
                group[-1].targets[0, 0] = float("inf")
            yield group


def train_toy(
    folder: Path,
    task=None,
    batches=None,
    options: TrainerOptions | None = None,
    resume=True,
    adjustable=None,
    evaluation_process=None,
    log_to=None,
    **changes,
) -> tuple[TrainingResult, Trainer]:
    """Train a toy task in a folder, resuming from its newest checkpoint; `log_to` are keywords of the trainer."""
    options = dataclasses.replace(options or TrainerOptions(max_steps=12, save_every_steps=4), **changes)
    processes = Processes(cpu=True)
    torch.manual_seed(options.seed)
    task = task or ToyRegression()
    batches = batches or ToyBatches()
    valid_batches = [make_batch(np.arange(100, 103))]
    data = (task, batches, valid_batches, folder, options, processes, adjustable, evaluation_process)
    trainer = Trainer(*data, **log_to or {})
    with evaluation_process or contextlib.nullcontext():
        return trainer.fit(trainer.checkpoints.newest() if resume else None), trainer


def main() -> None:
    """Train the regression with dropout, as slowly as asked, for tests that kill it."""
    folder = Path(sys.argv[1])
    changes = dict(argument.split("=") for argument in sys.argv[2:])
    pause_s = float(changes.pop("pause_s", 0))
    evaluation_s = float(changes.pop("evaluation_s", 0))

    class Slow(ToyBatches):
        def groups(self, epoch, start_group=0):
            for group in super().groups(epoch, start_group):
                time.sleep(pause_s)
                yield group

    torch.set_num_threads(1)
    torch.manual_seed(0)
    outcome, _ = train_toy(
        folder,
        ToyRegression(dropout=0.3),
        Slow(),
        TrainerOptions(keep_best=1, valid_every_steps=5, sample_every_steps=1000, log_every_steps=3),
        evaluation_process=EvaluationProcess(make_stand_in, evaluation_s) if evaluation_s else None,
        **{name: json.loads(value) for name, value in changes.items()},
    )
    print(json.dumps(dataclasses.asdict(outcome)))
    leave(0)


if __name__ == "__main__":
    main()
