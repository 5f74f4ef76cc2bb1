"""Evaluation within a training: validation, samples, and warnings about losses."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from utils.console import warn
from utils.meters import LossWatch
from utils.processes import Processes
from utils.random_state import kept_random_state, seed_everything
from utils.task import Samples, Task, ValidationBatches
from utils.train_step import TrainStep


class Evaluation:
    """Validation and samples of a model in training, with its moving averages if it has any.

    Evaluation has no effect on the training: random generators are seeded the same every time, and restored.

    Args:
        task: in training.
        train_step: holds its networks and their averages.
        batches: this process's share of the validation data; may be empty.
        processes: train together.
        seed: random seed.
        further_samples: called for samples beside those of the task; None for none.
    """

    def __init__(
        self,
        task: Task,
        train_step: TrainStep,
        batches: ValidationBatches,
        processes: Processes,
        seed: int,
        further_samples: Callable[[], Samples] | None = None,
    ) -> None:
        self.batches, self._further_samples = batches, further_samples
        self._task, self._train_step, self._processes, self._seed = task, train_step, processes, seed
        self._sample_batch: Any = None

    def validate(self, batches: ValidationBatches | None = None) -> dict[str, float]:
        """Compute the means of the validation measures over all processes; empty without data.

        Args:
            batches: in place of those of the validation split.
        """
        sums: dict[str, tuple[Tensor | float, float]] = {}
        with self._evaluating():
            for batch in self.batches if batches is None else batches:
                with self._train_step.autocast():
                    measures = self._task.validate(batch.to(self._processes.device))
                for name, measure in measures.items():
                    total, count = sums.get(name, (0.0, 0.0))
                    sums[name] = (total + measure.total, count + measure.count)
        totals: dict[str, float] = {}
        counts: dict[str, float] = {}
        for part in self._processes.gather({name: (float(total), count) for name, (total, count) in sums.items()}):
            for name, (total, count) in part.items():
                totals[name] = totals.get(name, 0.0) + total
                counts[name] = counts.get(name, 0.0) + count
        means = {name: total / counts[name] for name, total in totals.items() if counts[name]}
        assert not means or "loss" in means, "Task.validate returned no loss"
        return means

    def samples(self) -> Samples | None:
        """Compute images and audio of the first validation batch, and the further samples; None without data."""
        with self._evaluating():
            if self._sample_batch is None:
                self._sample_batch = next(iter(self.batches), None)
            further = self._further_samples() if self._further_samples is not None else None
            if self._sample_batch is None:
                return further
            with self._train_step.autocast():
                samples = self._task.samples(self._sample_batch.to(self._processes.device))
        return samples if further is None else samples.beside(further)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Replace networks by their averages within the block."""
        averages = {name: average.network for name, average in self._train_step.averages.items()}
        self._task.modules.update(averages)
        try:
            yield
        finally:
            self._task.modules.update(self._train_step.networks)

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[None]:
        with kept_random_state(), torch.no_grad():
            seed_everything(self._seed)
            self._train_step.set_training(False)
            try:
                with self.averaged():
                    yield
            finally:
                self._train_step.set_training(True)


class Diagnosis:
    """Warnings about losses, each printed once until it was absent.

    Args:
        task: may have warnings of its own (`Task.diagnose`).
        is_adversarial: whether networks are trained against each other, so that losses rise when the other improves.
        warmup_steps: steps without warnings, since the learning rate is still rising.
    """

    def __init__(self, task: Task, is_adversarial: bool, warmup_steps: int = 0) -> None:
        self._task, self._is_adversarial, self._warmup_steps = task, is_adversarial, warmup_steps
        self._watch = LossWatch()
        self._latest: dict[str, Sequence[str]] = {}  # by topic

    def training(self, step: int, losses: Mapping[str, float]) -> None:
        """Warn about the means of training losses, by their names in the logbook."""
        found = list(self._task.diagnose(losses, step))
        if not self._is_adversarial and step > self._warmup_steps:
            found += self._watch.train(losses)
        self._warn_once("training", step, found)

    def validation(self, step: int, loss: float) -> None:
        """Warn about the loss of a validation."""
        self._warn_once("validation", step, self._watch.valid(loss))

    def _warn_once(self, about: str, step: int, found: Sequence[str]) -> None:
        before, self._latest[about] = self._latest.get(about, ()), found
        for sentence in found:
            if sentence not in before:
                warn(f"step {step}: {sentence}")

    def state_dict(self) -> dict[str, Any]:
        """Return the losses seen so far."""
        return self._watch.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the losses of a `state_dict`."""
        self._watch.load_state_dict(state)
