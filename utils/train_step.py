"""Training step: networks, their optimizers, and their update by a group of micro-batches."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from utils.checkpoint import Checkpoint, CheckpointError, average_name
from utils.meters import LossMeter
from utils.moving_average import MovingAverage
from utils.optimizer_state import OptimizerState, OptimizerStateError, load_moments, peak_rates, set_peak_rates
from utils.parameter_groups import PartError, freeze
from utils.precision import Precision, autocast, why_not
from utils.processes import Processes, TrainingError
from utils.stop_request import StopRequest
from utils.task import Optimization, Task, Update

# Thirty halvings reduce the loss scale from 65536 to below 1e-4: overflows are then not due to the scale.
_MAX_OVERFLOWS = 30


class TrainStep:
    """Optimizer steps of a task: forward, backward, clip, update.

    Exact: n micro-batches of b make the same step as one of n * b, and so do n processes.

    Args:
        task: the model in training; its networks move to the processes' device.
        processes: train together.
        precision: of the networks' arithmetic; weights and optimizers stay in float32.
        gradient_clip: largest norm of an optimizer's gradients; 0 for no clipping.
        frozen: patterns of frozen parts (see `utils.parameter_groups.is_part`).

    Attributes:
        networks: of the task, by name, unwrapped.
        averages: their moving averages, of those that have one.
        optimizations: by name, in the order of their updates.
        losses: means of the loss terms since the last `read`.

    Raises:
        TrainingError: the device cannot compute in the precision.
        PartError: `frozen` matches nothing, or everything.
    """

    def __init__(
        self,
        task: Task,
        processes: Processes,
        *,
        precision: Precision = "fp32",
        gradient_clip: float = 0.0,
        frozen: Sequence[str] = (),
    ) -> None:
        device = processes.device
        if reason := why_not(precision, device):
            raise TrainingError(f"train.precision: {precision} {reason}")
        self._task, self._processes = task, processes
        self._precision, self._gradient_clip = precision, gradient_clip
        self._frozen = frozen
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self._overflows = 0
        self._number = 0  # of the present step, from 1
        self._norms: dict[str, list[float]] = {}  # of the gradients, since `figures` was last called
        self.losses = LossMeter(device)
        for module in task.modules.values():
            module.to(device)
        self.networks = dict(task.modules)
        self._always_eval = freeze(self.networks, frozen)
        self.optimizations = dict(task.optimizers())
        self._skipped = {
            name
            for name, optimization in self.optimizations.items()
            if not any(parameter.requires_grad for parameter in _parameters(optimization))
        }
        if self._skipped == set(self.optimizations):
            raise PartError("train.freeze: matches all parameters, and leaves none to train")
        learning = {name for optimization in self.optimizations.values() for name in optimization.modules}
        self._wrapped = {
            name: processes.wrap(module) if name in learning else module for name, module in self.networks.items()
        }
        self.averages = {
            name: MovingAverage(self.networks[name], optimization.ema_decay)
            for optimization in self.optimizations.values()
            for name in optimization.modules
            if optimization.ema_decay
        }
        self._trainable = {
            name: [parameter for parameter in module.parameters() if parameter.requires_grad]
            for name, module in self.networks.items()
        }

    def describe_parts(self) -> Iterator[str]:
        """Yield lines about frozen parts and learning rates per part; none without either."""
        parameters = [parameter for module in self.networks.values() for parameter in module.parameters()]
        if self._frozen:
            frozen = [parameter for parameter in parameters if not parameter.requires_grad]
            yield f"frozen: {_millions(frozen)} of {_millions(parameters)} parameters: {', '.join(self._frozen)}"
        for name, optimization in self.optimizations.items():
            for group in optimization.optimizer.param_groups:
                if "part" in group:
                    size = _millions(parameter for parameter in group["params"] if parameter.requires_grad)
                    yield f"learning rate of {name} x {group['factor']:g} for {size} parameters: {group['part']}"

    def load_optimizer_states(self, states: Mapping[str, OptimizerState]) -> None:
        """Load optimizers' moments of another training; their options stay those of the settings.

        Args:
            states: by the optimizer's name; an optimizer without one keeps none.

        Raises:
            OptimizerStateError: a state belongs to other parameters.
        """
        for name, state in states.items():
            try:
                load_moments(self.optimizations[name].optimizer, self.networks, state)
            except OptimizerStateError as error:
                raise OptimizerStateError(f"the initial state of the optimizer of the {name} {error}") from error

    def set_training(self, training: bool) -> None:
        """Set the networks to training or evaluation mode; frozen modules with buffers stay in evaluation mode."""
        for module in self._wrapped.values():
            module.train(training)
        for module in self._always_eval:
            module.training = False

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which networks compute in the precision."""
        return autocast(self._precision, self._processes.device.type)

    def end_epoch(self) -> None:
        """Advance the schedules that count epochs."""
        with warnings.catch_warnings():
            # Epochs are counted for skipped optimizers as well.
            warnings.filterwarnings("ignore", message=r"Detected call of `lr_scheduler\.step\(\)` before")
            for optimization in self.optimizations.values():
                if optimization.scheduler is not None and optimization.scheduled_by == "epoch":
                    optimization.scheduler.step()

    def figures(self) -> dict[str, float]:
        """Return learning rates, gradient norms since the last call and the loss scale, by names for the logbook."""
        values = {}
        for name, optimization in self.optimizations.items():
            for group in optimization.optimizer.param_groups:
                part = f"/{group['part']}" if "part" in group else ""
                values[f"learning_rate/{name}{part}"] = float(group["lr"])
            if norms := self._norms.pop(name, []):
                values[f"gradient_norm/{name}"] = sum(norms) / len(norms)
                values[f"gradient_norm/{name}_max"] = max(norms)
        if self._scaler.is_enabled():
            values["loss_scale"] = self._scaler.get_scale()
        return values

    # Steps

    def take(self, group: list[Any], step: int, request: StopRequest) -> bool:
        """Take one optimizer step with each optimizer; return whether any process was asked to stop.

        Args:
            group: micro-batches.
            step: optimizer steps done.
            request: of this process.

        Raises:
            TrainingError: a loss or gradient is NaN or infinite; the weights are not updated.
        """
        batches = [batch.to(self._processes.device) for batch in group]
        shares = self._shares(batches)
        self._number = step + 1
        sequences = [self._task.updates(batch, step) for batch in batches]
        stop = False
        with self._learning():
            for name, optimization in self.optimizations.items():
                updates, loss = self._backward(name, sequences, shares)
                if loss is not None:
                    for batch, update in zip(batches, updates, strict=True):
                        for term_name, term in update.terms.items():
                            self.losses.add(f"train/{name}/{term_name}", term.value, batch.counts[term.per])
                    self.losses.add(f"train/{name}/loss", loss, 1)
                if loss is not None and name not in self._skipped:
                    stop = self._step(name, optimization, loss, batches, updates, request) or stop
                self._set_requires_grad(optimization.modules, False)
            for sequence in sequences:
                extra = next(sequence, None)
                assert extra is None, f"the task yields an update of {extra.name} beyond its optimizers"
        return stop

    def _shares(self, batches: Sequence[Any]) -> list[Mapping[str, Tensor | float]]:
        """Return the share of each micro-batch in all units of the step, times the number of processes.

        Times the number of processes, because wrapped networks average gradients over them.
        """
        units = list(batches[0].counts)
        mine = [float(sum(batch.counts[unit] for batch in batches)) for unit in units]
        totals: Sequence[Tensor | float] = [max(total, 1.0) for total in mine]
        if self._processes.world_size > 1:
            summed = torch.tensor(mine, dtype=torch.float64, device=self._processes.device)
            totals = list(self._processes.all_reduce_sum(summed).clamp(min=1.0).unbind())
        world_size = self._processes.world_size
        return [
            {unit: batch.counts[unit] * world_size / total for unit, total in zip(units, totals, strict=True)}
            for batch in batches
        ]

    def _backward(
        self, name: str, sequences: Sequence[Iterator[Update]], shares: Sequence[Mapping[str, Tensor | float]]
    ) -> tuple[list[Update], Tensor | None]:
        """Take the next update of every micro-batch, and accumulate its gradients.

        Returns:
            The updates, and the loss; None if the optimizer skips this step.
        """
        wrapped = [self._wrapped[module] for module in self.optimizations[name].modules]
        updates: list[Update] = []
        losses: list[Tensor] = []
        for sequence, share in zip(sequences, shares, strict=True):
            with self.autocast():
                update = next(sequence, None)
            assert update is not None and update.name == name, f"the task yields {update} where {name} is due"
            assert len(losses) in (0, len(updates)) and (not updates or bool(losses) == bool(update.terms)), (
                f"{name} skips a part of the step only"
            )
            updates.append(update)
            if not update.terms:
                continue
            loss = torch.stack(
                [term.weight * share[term.per] * term.value.float() for term in update.terms.values() if term.weight]
            ).sum()
            is_last = len(updates) == len(sequences)
            if name not in self._skipped:
                with self._processes.sync(wrapped if is_last else ()):
                    self._scaler.scale(loss).backward()
            losses.append(loss.detach().float())
        return updates, torch.stack(losses).sum() if losses else None

    def _step(
        self,
        name: str,
        optimization: Optimization,
        loss: Tensor,
        batches: Sequence[Any],
        updates: Sequence[Update],
        request: StopRequest,
    ) -> bool:
        """Clip, and step the optimizer if all is finite; return whether any process was asked to stop."""
        optimizer = optimization.optimizer
        self._scaler.unscale_(optimizer)
        parameters = [parameter for parameter in _parameters(optimization) if parameter.grad is not None]
        norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        asked = torch.full_like(loss, float(request.signal_number))
        summed = self._processes.all_reduce_sum(torch.stack([loss, asked]))
        # The only synchronisation with a GPU in a step: the weights must not be updated before this is known.
        total_loss, signals, norm_value = torch.cat([summed, norm.reshape(1).float()]).tolist()
        if not math.isfinite(total_loss):
            self._raise_non_finite(f"the loss of {name} is {total_loss}", batches, updates)
        if math.isfinite(norm_value):
            if self._gradient_clip and norm_value > self._gradient_clip:
                clip_grads_with_norm_(parameters, self._gradient_clip, norm)
            self._scaler.step(optimizer)
            self._overflows = 0
            for module in optimization.modules:
                if module in self.averages:
                    self.averages[module].update(self.networks[module])
            if optimization.scheduler is not None and optimization.scheduled_by == "step":
                optimization.scheduler.step()
            self._norms.setdefault(name, []).append(norm_value)
        else:
            # In half precision gradients may overflow: the step is skipped, and the loss scale halved.
            self._overflows += 1
            if not self._scaler.is_enabled() or self._overflows > _MAX_OVERFLOWS:
                self._raise_non_finite(f"the gradient norm of {name} is {norm_value}", batches, updates)
        self._scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return bool(signals > 0)

    def _raise_non_finite(self, what: str, batches: Sequence[Any], updates: Sequence[Update]) -> None:
        mine = [
            (list(batch.ids), {name: float(term.value.detach()) for name, term in update.terms.items()})
            for batch, update in zip(batches, updates, strict=True)
        ]
        entries_of_all = [entry for entries in self._processes.gather(mine) for entry in entries]
        non_finite = [entry for entry in entries_of_all if not all(math.isfinite(value) for value in entry[1].values())]
        described = "; ".join(
            f"{', '.join(f'{name} {value:.4g}' for name, value in terms.items())} in the batch of {', '.join(ids)}"
            for ids, terms in non_finite or entries_of_all
        )
        raise TrainingError(
            f"step {self._number}: {what} ({described}). The weights were not updated. Check these recordings, or "
            "train with a lower learning rate or in bf16 or fp32; the same command resumes from the last checkpoint"
        )

    @contextlib.contextmanager
    def _learning(self) -> Iterator[None]:
        """Set the task's networks to the wrapped ones within the block; restore them and `requires_grad` afterwards."""
        self._task.modules.update(self._wrapped)
        try:
            with self._processes.no_sync(list(self._wrapped.values())):
                yield
        finally:
            self._task.modules.update(self.networks)
            self._set_requires_grad(self.networks, True)

    def _set_requires_grad(self, modules: Iterable[str], requires_grad: bool) -> None:
        if len(self.optimizations) > 1:  # otherwise nothing is ever frozen
            for module in modules:
                for parameter in self._trainable[module]:
                    parameter.requires_grad_(requires_grad)

    # Checkpoints

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """Return the weights of the networks and of their averages, by the names of a checkpoint's files."""
        return {name: module.state_dict() for name, module in self.networks.items()} | {
            average_name(name): average.network.state_dict() for name, average in self.averages.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the state besides weights that exact resuming needs."""
        return {
            "optimizers": {name: each.optimizer.state_dict() for name, each in self.optimizations.items()},
            "schedulers": {
                name: each.scheduler.state_dict()
                for name, each in self.optimizations.items()
                if each.scheduler is not None
            },
            "scaler": self._scaler.state_dict(),
            "overflows": self._overflows,
            "norms": self._norms,
            "averaged": {name: average.n_updates for name, average in self.averages.items()},
        }

    def load(self, checkpoint: Checkpoint, state: Mapping[str, Any]) -> None:
        """Load weights and state of a checkpoint.

        Args:
            checkpoint: holds the weights.
            state: the `state_dict` saved with it.

        Raises:
            CheckpointError: it does not fit the task.
        """
        for name, module in self.networks.items():
            checkpoint.load_module(name, module)
        for name, average in self.averages.items():
            average.n_updates = state.get("averaged", {}).get(name, 0)
            # A run without an average starts one with its weights.
            checkpoint.load_module(average_name(name) if average.n_updates else name, average.network)
        if set(state["optimizers"]) != set(self.optimizations):
            raise CheckpointError(
                f"{checkpoint.folder}: has optimizers for {', '.join(state['optimizers'])}, "
                f"this model for {', '.join(self.optimizations)}; resume with the settings it was trained with"
            )
        for name, optimization in self.optimizations.items():
            rates = peak_rates(optimization.optimizer)
            optimization.optimizer.load_state_dict(state["optimizers"][name])
            if optimization.scheduler is not None and name in state["schedulers"]:
                optimization.scheduler.load_state_dict(state["schedulers"][name])
            set_peak_rates(optimization.optimizer, optimization.scheduler, rates)
        if self._scaler.is_enabled() and state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        self._overflows, self._norms = state["overflows"], state["norms"]


def _parameters(optimization: Optimization) -> list[nn.Parameter]:
    return [parameter for group in optimization.optimizer.param_groups for parameter in group["params"]]


def _millions(parameters: Iterable[Tensor]) -> str:
    return f"{sum(parameter.numel() for parameter in parameters) / 1e6:.2f} M"
