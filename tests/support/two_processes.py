"""Trainings of two processes, each case in its own folder; `test_trainer.py` checks the results.

Run by `tests.support.commands.start_two("tests.support.two_processes", FOLDER)`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from tests.support.toy_tasks import BadAt, ToyBatches, ToyGan, ToyRegression, train_toy
from utils.process_exit import leave
from utils.processes import Processes, TrainingError
from utils.trainer import TrainerOptions

TASKS = {"regression": lambda: ToyRegression(ema_decay=0.6), "gan": lambda: ToyGan(start_step=2)}
OPTIONS = TrainerOptions(max_steps=9, gradient_clip=0.5, save_every_steps=9, log_every_steps=3)


def main() -> None:
    folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    torch.set_num_threads(1)
    for name, make_task in TASKS.items():
        for accumulation in (1, 2):
            torch.manual_seed(5)
            batches = ToyBatches(24, 4 // accumulation, accumulation, rank=rank, world_size=2)
            train_toy(folder / f"{name}-{accumulation}", make_task(), batches, OPTIONS)

    for name, stops in (("straight", (9,)), ("stopped", (4, 9))):
        for max_steps in stops:
            torch.manual_seed(5)
            batches = ToyBatches(rank=rank, world_size=2)
            train_toy(folder / name, ToyRegression(dropout=0.5), batches, OPTIONS, max_steps=max_steps)

    # Only the second process gets bad data; both must stop.
    batches = ToyBatches(rank=rank, world_size=2)
    try:
        train_toy(folder / "bad", ToyRegression(), BadAt(batches, 3) if rank == 1 else batches, OPTIONS)
    except TrainingError as error:
        (folder / f"error-{rank}.txt").write_text(str(error))


if __name__ == "__main__":
    with Processes(cpu=True):
        main()
    leave(0)
