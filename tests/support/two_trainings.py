"""Trainings of every model by two processes; `test_trained_together.py` compares them with those of one.

Run by `tests.support.commands.start_two("tests.support.two_trainings", FOLDER)`, where each case's folder has features.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import torch

from models.registry import MODELS
from tests.support.further_models import FURTHER_MODELS
from tests.support.tiny_models import TinyModel
from utils.process_exit import leave
from utils.processes import Processes
from utils.trainer import Trainer, TrainerOptions

OPTIONS = TrainerOptions(max_steps=3, gradient_clip=1.0, save_every_steps=3)
ALL_MODELS = {**MODELS, **FURTHER_MODELS}
# Aligners warp each recording at random and count phones batch by batch: no two ways of training them are equal.
CASES = {name: (name,) for name, model in sorted(ALL_MODELS.items()) if model.kind != "aligner"}
CASES |= {
    f"{name}-checkpointed": (name, "train.gradient_checkpointing=true", *overrides)
    for name, *overrides in (
        ("FastSpeech2", "model.encoder_block=conformer", "model.decoder_block=convolution"),
        ("HiFiGAN",),
    )
}


def train(
    case: str, features: Path, folder: Path, batch_size: int, accumulation: int = 1, rank=0, world_size=1
) -> None:
    """Train in a folder with features made before, by gradient descent, which adds rounding errors up only once."""
    model_type, *overrides = CASES[case]
    sizes = (f"train.batch_size={batch_size}", f"train.gradient_accumulation_steps={accumulation}")
    tiny = TinyModel(model_type, features, *overrides, *sizes)
    task = tiny.task()
    optimizations = task.optimizers()

    def plain(optimization):
        groups = [{"params": group["params"]} for group in optimization.optimizer.param_groups]
        return dataclasses.replace(
            optimization, optimizer=torch.optim.SGD(groups, lr=0.01), scheduler=None, ema_decay=0.6
        )

    task.optimizers = lambda: {name: plain(each) for name, each in optimizations.items()}
    batches = task.train_batches(rank, world_size), task.valid_batches(rank, world_size)
    Trainer(task, *batches, folder, OPTIONS, Processes(cpu=True)).fit()


def main() -> None:
    folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    torch.set_num_threads(1)
    MODELS.update(FURTHER_MODELS)
    features = folder / f"features-{rank}"  # each process writes settings files of its own
    features.mkdir()
    (features / "processed").symlink_to(folder / "features" / "processed")
    for case in CASES:
        train(case, features, folder / "two" / case, 2, rank=rank, world_size=2)


if __name__ == "__main__":
    with Processes(cpu=True):
        main()
    leave(0)
