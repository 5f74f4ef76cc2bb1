"""Timing of training steps and of implementations in turn, with true percentiles, and tables of the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from utils.machine import forget_peak_memory, peak_memory_mib
from utils.precision import Precision, autocast
from utils.task import Optimization, Update


@dataclass(frozen=True)
class Plan:
    """The amount of measuring.

    Attributes:
        precisions: fp32, bf16.
        batch_size: of training steps.
        steps: training steps of each implementation.
        runs: inference runs of each implementation.
        speaking_batch_sizes: mels or sentences per inference, where a model can batch them.
        long_s: seconds of speech to make in chunks while memory is watched; 0 for none.
        device: "cpu" or "cuda".
    """

    precisions: Sequence[Precision] = ("fp32", "bf16")
    batch_size: int = 16
    steps: int = 8
    runs: int = 30
    speaking_batch_sizes: Sequence[int] = (1,)
    long_s: float = 0.0
    device: str = "cpu"


@dataclass(frozen=True)
class Section:
    """A table of figures.

    Attributes:
        title: what was measured.
        note: how, in a sentence.
        rows: column name to value; all rows of a title have the same columns.
    """

    title: str
    note: str
    rows: Sequence[Mapping[str, Any]]


def synchronize(device: str) -> None:
    """Wait for a GPU to finish, so that the clock may be read."""
    if device != "cpu":
        torch.cuda.synchronize(device)


class PeakMemory:
    """Peak memory of the whole process, or of a GPU's tensors, since this was made; a later one restarts the count.

    Args:
        device: "cpu" or "cuda".
    """

    def __init__(self, device: str) -> None:
        self._device = device
        if device == "cpu":
            forget_peak_memory()
        else:
            torch.cuda.reset_peak_memory_stats(device)

    def mib(self) -> int:
        """Return the peak so far, in MiB."""
        on_cpu = self._device == "cpu"
        return peak_memory_mib() if on_cpu else torch.cuda.max_memory_allocated(self._device) // 2**20


def time_in_turn(
    implementations: Mapping[str, Callable[[], Any]], runs: int, device: str = "cpu"
) -> dict[str, np.ndarray]:
    """Return the run times in seconds of several implementations of one computation, by name.

    They take turns, so that whatever else the machine does slows all alike. Each is run once before, untimed.
    """
    for run in implementations.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in implementations}
    for _ in range(runs):
        for name, run in implementations.items():
            synchronize(device)
            started = time.perf_counter()
            run()
            synchronize(device)
            times[name].append(time.perf_counter() - started)
    return {name: np.array(seconds) for name, seconds in times.items()}


class Learner(Protocol):
    """The part of a `utils.task.Task` that takes training steps."""

    modules: dict[str, nn.Module]

    def optimizers(self) -> Mapping[str, Optimization]: ...

    def updates(self, batch: Any, step: int) -> Iterator[Update]: ...


class Stepper:
    """Training steps as the trainer takes them, one batch each: forward, backward, clipping, optimizers.

    Args:
        task: in training.
        precision: of the networks' arithmetic.
        gradient_clip: largest norm of an optimizer's gradients; 0 for no clipping.
        device: to train on; the networks move there.

    Attributes:
        frames, seconds: real mel frames learned from and time taken so far.
    """

    def __init__(self, task: Learner, precision: Precision, gradient_clip: float, device: str = "cpu") -> None:
        self._task, self._precision, self._gradient_clip, self._device = task, precision, gradient_clip, device
        for module in task.modules.values():
            module.to(device)
        self._optimizations = task.optimizers()
        self.frames, self.seconds = 0, 0.0

    def take(self, batch: Any, step: int = 0) -> None:
        """Take a step and add up what it cost.

        Args:
            batch: to learn from.
            step: steps before this one, for tasks whose losses change over time.
        """
        synchronize(self._device)
        started = time.perf_counter()
        self._learn(batch, step)
        synchronize(self._device)
        self.seconds += time.perf_counter() - started
        self.frames += batch.counts["frames"]

    def warm_up(self, batch: Any, step: int = 0) -> None:
        """Take a step that is not counted."""
        self._learn(batch, step)

    def _learn(self, batch: Any, step: int) -> None:
        updates: Iterator[Update] = self._task.updates(batch.to(self._device), step)
        for optimization in self._optimizations.values():
            with autocast(self._precision, self._device):
                terms = next(updates).terms.values()
            if terms:
                torch.stack([term.weight * term.value for term in terms]).sum().backward()
                if self._gradient_clip:
                    nn.utils.clip_grad_norm_(_parameters(optimization), self._gradient_clip)
                optimization.optimizer.step()
                optimization.optimizer.zero_grad()
            for module in optimization.modules:
                self._task.modules[module].requires_grad_(False)
        for each in self._task.modules.values():
            each.requires_grad_(True)


def _parameters(optimization: Optimization) -> list[nn.Parameter]:
    return [parameter for group in optimization.optimizer.param_groups for parameter in group["params"]]


def percentiles_ms(seconds: np.ndarray, ranks: Sequence[int] = (50, 90, 95, 99)) -> dict[str, float]:
    """Return the latency's percentiles in milliseconds, as columns of a table."""
    values = np.percentile(seconds, ranks) * 1e3
    return {f"p{rank} ms": float(value) for rank, value in zip(ranks, values, strict=True)}


def as_table(sections: Sequence[Section]) -> str:
    """Write sections as tables in Markdown, those of one title together."""
    lines: list[str] = []
    for title in dict.fromkeys(section.title for section in sections):
        together = [section for section in sections if section.title == title]
        rows = [row for section in together for row in section.rows]
        columns = list(rows[0])
        lines += ["", f"{title}: {together[0].note}", "", _line(columns), _line(["---"] * len(columns))]
        lines += [_line([_cell(row[column]) for column in columns]) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
