"""Trial of a model: whether steps on one batch lower its loss."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from config.schema import ExperimentSettings
from models.registry import make_task
from models.runs.experiment_settings import memory_settings, trainer_options
from utils.console import info
from utils.failures import failures_in_training
from utils.logbook import read_logbook
from utils.processes import Processes
from utils.random_state import seed_everything
from utils.trainer import Trainer


def overfit_one_batch(settings: ExperimentSettings, steps: int) -> int:
    """Train on the first batches only, in a temporary folder; return 0 if their loss at least halves, else 1."""
    with Processes() as processes, failures_in_training("", memory_settings(settings)):
        return _overfit(settings, steps, processes)


class _Repeated:
    """One group of batches, as if it were the whole training data."""

    def __init__(self, group: list[Any], steps: int) -> None:
        self._group, self._steps = group, steps

    def groups_per_epoch(self, epoch: int) -> int:
        return self._steps

    def groups(self, epoch: int, start_group: int = 0) -> Iterator[list[Any]]:
        for _ in range(start_group, self._steps):
            yield self._group


def _overfit(settings: ExperimentSettings, steps: int, processes: Processes) -> int:
    seed_everything(settings.train.seed)
    task = make_task(settings)
    group = next(task.train_batches(processes.rank, processes.world_size).groups(0))
    unwatched = dict.fromkeys(("valid_every_steps", "sample_every_steps", "save_every_steps"), steps + 1)
    unwatched["evaluate_every_steps"] = 0
    options = trainer_options(settings, max_steps=steps, max_epochs=0, log_every_steps=max(steps // 20, 1), **unwatched)
    with tempfile.TemporaryDirectory(prefix="recital-overfit-") as folder:
        Trainer(task, _Repeated(group, steps), (), folder, options, processes).fit()
        lines = read_logbook(Path(folder) / "logbook.jsonl") if processes.is_main else []
    passed = True
    for name in lines[0] if lines else ():
        if name.startswith("train/") and name.endswith("/loss"):
            first, last = lines[0][name], lines[-1][name]
            learned = last < first / 2
            passed = passed and learned
            info(f"{'pass' if learned else 'FAIL'}: {name} went from {first:.4g} to {last:.4g} in {steps} steps")
    return 0 if passed else 1
