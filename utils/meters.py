"""Running means of losses and speed over many steps, summed without waiting for the device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

AllReduce = Callable[[Tensor], Tensor]
"""Sums a tensor over all processes."""

_LATEST_SHARE = 0.3  # of a smoothed loss
_RUNAWAY = 3.0
_PATIENCE = 10
_FIRST_LINES = 3  # so long the smoothed losses are little more than the first line, of which none is a lowest


class LossMeter:
    """Means of loss terms over the units of all micro-batches, processes and steps since the last `read`.

    Args:
        device: where the sums are kept.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._totals: dict[str, Tensor] = {}
        self._counts: dict[str, float] = {}

    def add(self, name: str, mean: Tensor, count: int) -> None:
        """Add the mean () of `count` units."""
        total = mean.detach().float() * count
        self._totals[name] = self._totals[name] + total if name in self._totals else total
        self._counts[name] = self._counts.get(name, 0.0) + count

    def read(self, all_reduce_sum: AllReduce) -> dict[str, float]:
        """Return the means and reset; waits for the device, and every process must call it."""
        names = sorted(self._totals)
        if not names:
            return {}
        totals = torch.stack([self._totals[name] for name in names])
        counts = torch.tensor([self._counts[name] for name in names], device=self._device)
        summed = all_reduce_sum(torch.cat([totals, counts])).tolist()
        self._totals.clear()
        self._counts.clear()
        return {
            name: total / count if count else 0.0
            for name, total, count in zip(names, summed[: len(names)], summed[len(names) :], strict=True)
        }

    def state_dict(self) -> dict[str, tuple[float, float]]:
        """Return this process's sums."""
        return {name: (total.item(), self._counts[name]) for name, total in self._totals.items()}

    def load_state_dict(self, state: Mapping[str, tuple[float, float]]) -> None:
        """Restore the sums of a `state_dict`."""
        self._totals = {name: torch.tensor(total, device=self._device) for name, (total, _) in state.items()}
        self._counts = {name: count for name, (_, count) in state.items()}


class LossWatch:
    """Detects training losses that diverge, and a validation loss that no longer decreases.

    Its warnings hold no figures that change: the same warning is the same text.
    """

    def __init__(self) -> None:
        self._smoothed: dict[str, float] = {}
        self._lowest: dict[str, float] = {}  # of the smoothed ones
        self._lines = 0
        self._lowest_valid = math.inf
        self._n_without_gain = 0  # validations since the lowest one

    def train(self, losses: Mapping[str, float]) -> list[str]:
        """Update with a line of the logbook, and return warnings about it."""
        found = []
        self._lines += 1
        for name, loss in losses.items():
            before = self._smoothed.get(name, loss)
            smoothed = self._smoothed[name] = before + _LATEST_SHARE * (loss - before)
            if self._lines <= _FIRST_LINES:
                continue
            lowest = self._lowest[name] = min(smoothed, self._lowest.get(name, smoothed))
            if 0 < _RUNAWAY * lowest < smoothed:
                found.append(
                    f"{name} has grown to over {_RUNAWAY:g} times its lowest: if it stays there, go back to an earlier "
                    "checkpoint with a lower train.learning_rate"
                )
        return found

    def valid(self, loss: float) -> list[str]:
        """Update with the loss of a validation, and return warnings about it."""
        self._n_without_gain = 0 if loss < self._lowest_valid else self._n_without_gain + 1
        self._lowest_valid = min(loss, self._lowest_valid)
        if self._n_without_gain < _PATIENCE:
            return []
        return [
            f"the validation loss has not decreased in {_PATIENCE} validations: stop, unless the samples still improve"
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the smoothed and lowest losses."""
        return {
            "smoothed": self._smoothed,
            "lowest": self._lowest,
            "lines": self._lines,
            "lowest_valid": self._lowest_valid,
            "in_vain": self._n_without_gain,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the losses of a `state_dict`."""
        self._smoothed, self._lowest = dict(state["smoothed"]), dict(state["lowest"])
        self._lines = state.get("lines", _FIRST_LINES)
        self._lowest_valid, self._n_without_gain = state["lowest_valid"], state["in_vain"]


class SpeedMeter:
    """Training throughput, over the time that is spent on training alone."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._running_since: float | None = None
        self._reset()

    def _reset(self) -> None:
        self._elapsed_s = self._waited_s = 0.0
        self._steps = 0
        self._real: dict[str, int] = {}
        self._padded: dict[str, int] = {}

    def start(self) -> None:
        """Start or continue the clock."""
        if self._running_since is None:
            self._running_since = time.perf_counter()

    def pause(self) -> None:
        """Stop the clock, for work that is not training."""
        if self._running_since is not None:
            self._elapsed_s += time.perf_counter() - self._running_since
            self._running_since = None

    def waited(self, seconds: float) -> None:
        """Add time spent waiting for data."""
        self._waited_s += seconds

    def add(self, batch: Any) -> None:
        """Count a micro-batch."""
        for unit, count in batch.padded.items():
            self._real[unit] = self._real.get(unit, 0) + batch.counts[unit]
            self._padded[unit] = self._padded.get(unit, 0) + count

    def stepped(self) -> None:
        """Count an optimizer step."""
        self._steps += 1

    def read(self, all_reduce_sum: AllReduce) -> dict[str, float]:
        """Return figures over all processes since the last `read`, and reset; every process must call it."""
        running = self._running_since is not None
        self.pause()
        units = list(self._padded)
        mine = [self._waited_s, *self._real.values(), *self._padded.values()]
        waited, *summed = all_reduce_sum(torch.tensor(mine, dtype=torch.float64, device=self._device)).tolist()
        processes = all_reduce_sum(torch.ones((), device=self._device)).item()
        elapsed, steps = max(self._elapsed_s, 1e-9), self._steps
        figures = {"steps_per_second": steps / elapsed}
        for unit, real, padded in zip(units, summed[: len(units)], summed[len(units) :], strict=True):
            figures[f"{unit}_per_second"] = real / elapsed
            figures[f"{unit}_padding_share"] = 1.0 - real / padded if padded else 0.0
        figures["data_wait_share"] = waited / processes / elapsed
        if self._device.type == "cuda":
            figures["peak_memory_gib"] = torch.cuda.max_memory_allocated(self._device) / 2**30
        self._reset()
        if running:
            self.start()
        return figures
