"""One trainer for every model: a plain loop around a task's story, in one process or many.

The only home of accelerate, which finds the device and joins the processes, however they were launched. Autocast,
loss scaling and schedules are done here in the open: accelerate's wrappers would turn every output of a network
into float32, and step a schedule once per process.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from utils.checkpoint import Checkpoint, CheckpointError, CheckpointFolder, average_name
from utils.console import Progress, say, warn
from utils.errors import RecitalError
from utils.failures import disk_sentence, is_disk_full
from utils.files import atomic_folder, sweep
from utils.logbook import Logbook
from utils.meters import LossMeter, LossWatch, SpeedMeter
from utils.moving_average import MovingAverage
from utils.optimizer_state import OptimizerState, OptimizerStateError, load_moments, peak_rates, set_peak_rates
from utils.parameter_groups import PartError, freeze
from utils.random_state import kept_random_state, random_state, seed_everything, set_random_state
from utils.stop_request import StopRequest
from utils.task import Batches, Optimization, Task, Update, ValidationBatches

Result = TypeVar("Result")

# Thirty halvings take the loss scale from 65536 to below 1e-4: whatever overflows then is not the scale's fault.
_MOST_OVERFLOWS = 30


class TrainingError(RecitalError):
    """Training that cannot go on, e.g. because the loss is no number."""


@dataclass(frozen=True)
class TrainerOptions:
    """How a run is trained, whatever the model; the names are those of the settings under `train`.

    Attributes:
        precision: of the networks' arithmetic; weights and optimizers stay in float32.
        max_steps: optimizer steps after which training ends; 0 for no limit.
        max_epochs: epochs after which training ends; 0 for no limit.
        gradient_clip: largest norm of an optimizer's gradients; 0 for no clipping.
        freeze: patterns of parts that stay as they are, to the bit (see `utils.parameter_groups.is_part`).
        warmup_steps: optimizer steps whose losses are not watched, because the learning rate is still rising.
        seed: of everything random.
        log_every_steps: steps between lines in the logbook.
        valid_every_steps: steps between validations.
        sample_every_steps: steps between pictures and sounds.
        save_every_steps: steps between checkpoints.
        keep_last: how many newest checkpoints stay.
        keep_best: how many checkpoints of lowest validation loss stay besides; with 1 or more, a new lowest loss
            is saved whenever it is found.
    """

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    max_steps: int = 0
    max_epochs: int = 0
    gradient_clip: float = 0.0
    freeze: tuple[str, ...] = ()
    warmup_steps: int = 0
    seed: int = 0
    log_every_steps: int = 100
    valid_every_steps: int = 1000
    sample_every_steps: int = 1000
    save_every_steps: int = 1000
    keep_last: int = 1
    keep_best: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a call of `Trainer.fit` ended.

    Attributes:
        step: optimizer steps done since the very beginning.
        finished: whether `max_steps` or `max_epochs` is reached.
        signal_number: of the signal that ended it early, or 0.
        losses: the last means of the loss terms, by name.
        valid_losses: the last validation, by name.
    """

    step: int
    finished: bool
    signal_number: int
    losses: Mapping[str, float]
    valid_losses: Mapping[str, float]


class Processes:
    """The processes that train together, and this one's place among them.

    Started by `accelerate launch`, torchrun or alone; without a GPU on the CPU. To be used in a `with`, whose end is
    the end of working together.

    Args:
        cpu: stay on the CPU where there is a GPU.
    """

    def __init__(self, cpu: bool = False) -> None:
        self._accelerator = Accelerator(mixed_precision="no", cpu=cpu or not torch.cuda.is_available())
        self.rank: int = self._accelerator.process_index
        self.world_size: int = self._accelerator.num_processes
        self.device: torch.device = self._accelerator.device
        self.is_main: bool = self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Give the network that averages its gradients over all processes; the same one where there is only this."""
        if self.world_size == 1 or not any(parameter.requires_grad for parameter in module.parameters()):
            return module
        # Buffers are sent once, not before each forward pass: none here depends on the batch, and sending them between
        # two calls of one network would overwrite what the first call needs for its gradients.
        device_ids = [self.device.index] if self.device.type == "cuda" else None
        # The gradient of a convolution with kernel size 1 may have other strides than its weight: nothing is wrong.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        return DistributedDataParallel(
            module, device_ids=device_ids, forward_sync_buffers=False, gradient_as_bucket_view=True
        )

    @contextlib.contextmanager
    def apart(self, modules: Sequence[nn.Module]) -> Iterator[None]:
        """Let gradients add up in each process for itself, but in `together`."""
        with contextlib.ExitStack() as stack:
            for module in modules:
                stack.enter_context(self._accelerator.no_sync(module))
            yield

    @contextlib.contextmanager
    def together(self, modules: Sequence[nn.Module]) -> Iterator[None]:
        """Average these networks' gradients over all processes in the backward pass within."""
        with contextlib.ExitStack() as stack:
            for module in modules:
                stack.enter_context(self._accelerator.trigger_sync_in_backward(module))
            yield

    def add_up(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over all processes, without waiting for the device."""
        return tensor if self.world_size == 1 else self._accelerator.reduce(tensor, reduction="sum")

    def gather(self, thing: Any) -> list[Any]:
        """Give the things of all processes, by rank."""
        return [thing] if self.world_size == 1 else gather_object([thing])

    def wait(self) -> None:
        """Wait until every process has come here."""
        self._accelerator.wait_for_everyone()

    def in_main(self, work: Callable[[], Result], share: bool = False) -> Result | None:
        """Do something in the first process while the others wait; what goes wrong there is raised in all of them.

        Args:
            work: to be done.
            share: whether the other processes get its result, too, instead of None.
        """
        result, error = None, None
        if self.is_main:
            try:
                result = work()
            except Exception as caught:
                error = caught
        if self.world_size > 1:
            what = disk_sentence(error) if error is not None and is_disk_full(error) else error
            told: list[Any] = [error and f"in the first process: {what}", result if share else None]
            broadcast_object_list(told)
            if not self.is_main:
                if told[0]:
                    raise TrainingError(told[0])
                result = told[1]
        if error is not None:
            raise error
        return result

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return  # nothing waits for processes that may wait for this one
        if self.device.type == "cuda":
            self._accelerator.end_training()
        else:
            self.wait()  # gloo is not taken apart (see `utils.process_exit`), but none leaves while others talk to it


@dataclass
class _Position:
    step: int = 0  # optimizer steps done
    epoch: int = 0
    group: int = 0  # groups done within the epoch


class Trainer:
    """Trains a task: forward, backward, clip, step, log, validate, save, until it is done or told to stop.

    Exact: n micro-batches of b make the same step as one of n * b, and so do n processes; a run that was stopped, or
    killed, and resumed is the same run to the bit on the CPU.

    Args:
        task: the model in training.
        batches: this process's share of the training data.
        valid_batches: this process's share of the validation data; may be empty.
        folder: of the experiment: gets `checkpoint/`, `tensorboard/`, `logbook.jsonl` and `bundle/`.
        options: how to train.
        processes: who trains together.
        adjustable: settings with which an experiment may go on where it began with others, as plain JSON values;
            kept in checkpoints.

    Raises:
        PartError: `options.freeze` names what there is not, or leaves nothing to learn.
    """

    def __init__(
        self,
        task: Task,
        batches: Batches,
        valid_batches: ValidationBatches,
        folder: Path | str,
        options: TrainerOptions,
        processes: Processes,
        adjustable: Mapping[str, Any] | None = None,
    ) -> None:
        self._adjustable, self._changed = dict(adjustable or {}), dict[str, tuple[Any, Any]]()
        self.task, self.batches, self.valid_batches = task, batches, valid_batches
        self.folder, self.options, self.processes = Path(folder), options, processes
        self.checkpoints = CheckpointFolder(self.folder / "checkpoint")
        device = processes.device
        _check_precision(options.precision, device)
        self._autocast_dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[options.precision]
        self._scaler = torch.amp.GradScaler(device.type, enabled=options.precision == "fp16")
        self._overflows = 0
        self._position = _Position()
        self._valid_loss: float | None = None  # at the present step
        self._best_valid_loss = math.inf
        self._last_losses: dict[str, float] = {}
        self._last_valid_losses: dict[str, float] = {}
        self._losses, self._speed = LossMeter(device), SpeedMeter(device)
        self._norms: dict[str, list[float]] = {}  # of the gradients, since the last line in the logbook
        self._note = ""
        self._sample_batch: Any = None

        for module in task.modules.values():
            module.to(device)
        self._plain = dict(task.modules)
        self._still = freeze(self._plain, options.freeze)
        self._optimizations = dict(task.optimizers())
        self._resting = {
            name
            for name, optimization in self._optimizations.items()
            if not any(parameter.requires_grad for parameter in _parameters(optimization))
        }
        if self._resting == set(self._optimizations):
            raise PartError("train.freeze: names everything there is, and leaves nothing to learn")
        learning = {name for optimization in self._optimizations.values() for name in optimization.modules}
        self._wrapped = {
            name: processes.wrap(module) if name in learning else module for name, module in self._plain.items()
        }
        self._averages = {
            name: MovingAverage(self._plain[name], optimization.ema_decay)
            for optimization in self._optimizations.values()
            for name in optimization.modules
            if optimization.ema_decay
        }
        self._watch = LossWatch()
        self._concerns: dict[str, Sequence[str]] = {}  # the latest, by what they are about
        self._trainable = {
            name: [parameter for parameter in module.parameters() if parameter.requires_grad]
            for name, module in self._plain.items()
        }

    @property
    def optimizer_names(self) -> list[str]:
        """The names of the optimizers, in the order in which they act."""
        return list(self._optimizations)

    def parts_story(self) -> Iterator[str]:
        """Say how much is frozen, and what learns at a pace of its own; nothing where all learns alike."""
        parameters = [parameter for module in self._plain.values() for parameter in module.parameters()]
        if self.options.freeze:
            frozen = [parameter for parameter in parameters if not parameter.requires_grad]
            yield f"frozen: {_millions(frozen)} of {_millions(parameters)} parameters: {', '.join(self.options.freeze)}"
        for name, optimization in self._optimizations.items():
            for group in optimization.optimizer.param_groups:
                if "part" in group:
                    size = _millions(parameter for parameter in group["params"] if parameter.requires_grad)
                    yield f"learning rate of {name} x {group['factor']:g} for {size} parameters: {group['part']}"

    def begin_with(self, states: Mapping[str, OptimizerState]) -> None:
        """Let optimizers begin, before `fit`, with what others remembered; their options stay those of the settings.

        Args:
            states: by the optimizer's name; an optimizer without one begins afresh.

        Raises:
            OptimizerStateError: a state belongs to other parameters.
        """
        for name, state in states.items():
            try:
                load_moments(self._optimizations[name].optimizer, self._plain, state)
            except OptimizerStateError as error:
                raise OptimizerStateError(f"what the optimizer of the {name} shall begin with {error}") from error

    def fit(self, resume: Checkpoint | None = None) -> Outcome:
        """Train until `max_steps` or `max_epochs`, or until SIGINT or SIGTERM; the last step is always saved.

        Args:
            resume: go on from here; None to start with the weights as they are.

        Raises:
            TrainingError: a loss or gradient is no number; the weights stay as they were, and are not saved.
            CheckpointError: a checkpoint could not be written, or does not fit.
        """
        seed_everything(self.options.seed + self.processes.rank)
        if resume is not None:
            self._restore(resume)
        self.processes.wait()
        logbook = self.processes.in_main(self._open_folder)
        with StopRequest() as request, logbook or contextlib.nullcontext():
            if self._changed and logbook is not None:
                # At the first step that is taken so: who goes on from here again drops this line and writes it anew.
                logbook.changes(self._position.step + 1, self._changed)
            stopped = self._train(logbook, request)
        # Another process may have got the signal that stopped all.
        signal_number = request.signal_number or (int(signal.SIGTERM) if stopped else 0)
        return Outcome(
            self._position.step, self._is_finished(), signal_number, self._last_losses, self._last_valid_losses
        )

    def _open_folder(self) -> Logbook:
        sweep(self.folder)
        sweep(self.checkpoints.path)
        for folder in self.checkpoints.set_aside_after(self._position.step):
            warn(f"{folder}: renamed, because training goes on from step {self._position.step}, before it")
        if self._position.step and not (self.folder / "bundle").is_dir():
            self._write_bundle()  # killed between checkpoint and bundle
        return Logbook(self.folder, self._position.step)

    # The loop

    def _train(self, logbook: Logbook | None, request: StopRequest) -> bool:
        """Take steps until the end; gives whether that is because any process was asked to stop."""
        position = self._position
        stop = False
        self._set_training(True)
        with self._progress() if self.processes.is_main else contextlib.nullcontext() as progress:
            while not stop and not self._is_finished():
                n_groups = self.batches.groups_per_epoch(position.epoch)
                if n_groups < 1:
                    raise TrainingError("the training data makes not a single batch; look at the report of stage 1")
                for group in self._groups():
                    stop = self._learn(group, request)
                    position.step, position.group = position.step + 1, position.group + 1
                    if position.group == n_groups:
                        self._end_epoch()
                    self._look_after(logbook, stop)
                    if progress is not None:
                        progress.advance(1, self._note)
                    if stop or self._is_finished():
                        break
                else:
                    assert position.group == 0, f"{position.group} groups in an epoch of {n_groups}"

        return stop

    def _is_finished(self) -> bool:
        steps, epochs = self.options.max_steps, self.options.max_epochs
        return bool(steps and self._position.step >= steps) or bool(epochs and self._position.epoch >= epochs)

    def _groups(self) -> Iterator[list[Any]]:
        # What fetching draws from the global generators (a data loader draws a seed whenever it starts) must not
        # reach the training: a resumed run starts a loader where the unbroken one did not.
        with kept_random_state():
            groups = iter(self.batches.groups(self._position.epoch, self._position.group))
        while True:
            self._speed.start()
            before = time.perf_counter()
            with kept_random_state():
                group = next(groups, None)
            self._speed.waited(time.perf_counter() - before)
            if group is None:
                return
            yield group

    def _end_epoch(self) -> None:
        self._position.epoch, self._position.group = self._position.epoch + 1, 0
        with warnings.catch_warnings():
            # Epochs are counted for an optimizer that rests as well.
            warnings.filterwarnings("ignore", message=r"Detected call of `lr_scheduler\.step\(\)` before")
            for optimization in self._optimizations.values():
                if optimization.scheduler is not None and optimization.scheduled_by == "epoch":
                    optimization.scheduler.step()

    # One step

    def _learn(self, group: list[Any], request: StopRequest) -> bool:
        """Take one optimizer step with each optimizer; gives whether any process was asked to stop."""
        batches = [batch.to(self.processes.device) for batch in group]
        for batch in batches:
            self._speed.add(batch)
        shares = self._shares(batches)
        stories = [self.task.updates(batch, self._position.step) for batch in batches]
        stop = False
        with self._learning():
            for name, optimization in self._optimizations.items():
                updates, loss = self._play_act(name, stories, shares)
                if loss is not None:
                    for batch, update in zip(batches, updates, strict=True):
                        for term_name, term in update.terms.items():
                            self._losses.add(f"train/{name}/{term_name}", term.value, batch.counts[term.per])
                    self._losses.add(f"train/{name}/loss", loss, 1)
                if loss is not None and name not in self._resting:
                    stop = self._step(name, optimization, loss, batches, updates, request) or stop
                self._set_requires_grad(optimization.modules, False)
            for story in stories:
                extra = next(story, None)
                assert extra is None, f"the task tells an update of {extra.name} beyond its optimizers"
        self._speed.stepped()
        return stop

    def _shares(self, batches: Sequence[Any]) -> list[Mapping[str, Tensor | float]]:
        """Give, for each micro-batch and unit, its part of all units of the step, times the number of processes.

        The number of processes is there because wrapped networks average gradients over them.
        """
        units = list(batches[0].counts)
        mine = [float(sum(batch.counts[unit] for batch in batches)) for unit in units]
        totals: Sequence[Tensor | float] = [max(total, 1.0) for total in mine]
        if self.processes.world_size > 1:
            summed = torch.tensor(mine, dtype=torch.float64, device=self.processes.device)
            totals = list(self.processes.add_up(summed).clamp(min=1.0).unbind())
        world_size = self.processes.world_size
        return [
            {unit: batch.counts[unit] * world_size / total for unit, total in zip(units, totals, strict=True)}
            for batch in batches
        ]

    def _play_act(
        self, name: str, stories: Sequence[Iterator[Update]], shares: Sequence[Mapping[str, Tensor | float]]
    ) -> tuple[list[Update], Tensor | None]:
        """Let every micro-batch's story come to its next update, and gather its gradients.

        Gives the loss, too, or None where the optimizer rests.
        """
        wrapped = [self._wrapped[module] for module in self._optimizations[name].modules]
        updates: list[Update] = []
        losses: list[Tensor] = []
        for story, share in zip(stories, shares, strict=True):
            with self._autocast():
                update = next(story, None)
            assert update is not None and update.name == name, f"the task tells {update} where {name} is due"
            assert len(losses) in (0, len(updates)) and (not updates or bool(losses) == bool(update.terms)), (
                f"{name} rests for a part of the step only"
            )
            updates.append(update)
            if not update.terms:
                continue
            loss = torch.stack(
                [term.weight * share[term.per] * term.value.float() for term in update.terms.values() if term.weight]
            ).sum()
            is_last = len(updates) == len(stories)
            if name not in self._resting:
                with self.processes.together(wrapped if is_last else ()):
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
        """Clip, and let the optimizer act if all is sound; gives whether any process was asked to stop."""
        optimizer = optimization.optimizer
        self._scaler.unscale_(optimizer)
        parameters = [parameter for parameter in _parameters(optimization) if parameter.grad is not None]
        norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        asked = torch.full_like(loss, float(request.signal_number))
        summed = self.processes.add_up(torch.stack([loss, asked]))
        # The one moment of a step at which a GPU is waited for: nothing may touch the weights before this is known.
        total_loss, signals, norm_value = torch.cat([summed, norm.reshape(1).float()]).tolist()
        if not math.isfinite(total_loss):
            self._refuse(f"the loss of {name} is {total_loss}", batches, updates)
        if math.isfinite(norm_value):
            if self.options.gradient_clip and norm_value > self.options.gradient_clip:
                clip_grads_with_norm_(parameters, self.options.gradient_clip, norm)
            self._scaler.step(optimizer)
            self._overflows = 0
            for module in optimization.modules:
                if module in self._averages:
                    self._averages[module].update(self._plain[module])
            if optimization.scheduler is not None and optimization.scheduled_by == "step":
                optimization.scheduler.step()
            self._norms.setdefault(name, []).append(norm_value)
        else:
            # In half precision a gradient may overflow: the step is left out, and the loss scale halved.
            self._overflows += 1
            if not self._scaler.is_enabled() or self._overflows > _MOST_OVERFLOWS:
                self._refuse(f"the gradient norm of {name} is {norm_value}", batches, updates)
        self._scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return signals > 0

    def _refuse(self, what: str, batches: Sequence[Any], updates: Sequence[Update]) -> None:
        mine = [
            (list(batch.ids), {name: float(term.value.detach()) for name, term in update.terms.items()})
            for batch, update in zip(batches, updates, strict=True)
        ]
        told = [entry for entries in self.processes.gather(mine) for entry in entries]
        guilty = [entry for entry in told if not all(math.isfinite(value) for value in entry[1].values())]
        batches_told = "; ".join(
            f"{', '.join(f'{name} {value:.4g}' for name, value in terms.items())} in the batch of {', '.join(ids)}"
            for ids, terms in guilty or told
        )
        raise TrainingError(
            f"step {self._position.step + 1}: {what} ({batches_told}). The weights were not touched. Look at these "
            "recordings, or train with a lower learning rate or in bf16 or fp32; the same command goes on from the "
            "last checkpoint"
        )

    @contextlib.contextmanager
    def _learning(self) -> Iterator[None]:
        """Give the task the networks that talk to other processes, and thaw what froze in between."""
        self.task.modules.update(self._wrapped)
        try:
            with self.processes.apart(list(self._wrapped.values())):
                yield
        finally:
            self.task.modules.update(self._plain)
            self._set_requires_grad(self._plain, True)

    def _set_requires_grad(self, modules: Iterable[str], requires_grad: bool) -> None:
        if len(self._optimizations) > 1:  # otherwise nothing is ever frozen
            for module in modules:
                for parameter in self._trainable[module]:
                    parameter.requires_grad_(requires_grad)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self._autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.processes.device.type, dtype=self._autocast_dtype)

    def _set_training(self, training: bool) -> None:
        for module in self._wrapped.values():
            module.train(training)
        for module in self._still:
            module.training = False

    # Between steps

    def _look_after(self, logbook: Logbook | None, stop: bool) -> None:
        """Log, validate, show and save, each where it is due."""
        options, finished = self.options, self._is_finished()
        self._valid_loss = None
        if self._is_due(options.log_every_steps) or finished:
            self._log(logbook)
        self._speed.pause()
        is_best = False
        if self._is_due(options.valid_every_steps) or finished:
            is_best = self._validate(logbook)
        if self._is_due(options.sample_every_steps) or finished:
            self.processes.in_main(lambda: self._show(logbook))
        if self._is_due(options.save_every_steps) or (is_best and options.keep_best) or finished or stop:
            self._save()

    def _is_due(self, every_steps: int) -> bool:
        return self._position.step % every_steps == 0

    def _log(self, logbook: Logbook | None) -> None:
        losses = self._losses.read(self.processes.add_up)
        if not losses:
            return
        speed = self._speed.read(self.processes.add_up)
        self._last_losses = losses
        values = dict(losses)
        for name, optimization in self._optimizations.items():
            for group in optimization.optimizer.param_groups:
                part = f"/{group['part']}" if "part" in group else ""
                values[f"learning_rate/{name}{part}"] = float(group["lr"])
            if norms := self._norms.pop(name, []):
                values[f"gradient_norm/{name}"] = sum(norms) / len(norms)
                values[f"gradient_norm/{name}_max"] = max(norms)
        if self._scaler.is_enabled():
            values["loss_scale"] = self._scaler.get_scale()
        values |= {f"speed/{name}": value for name, value in speed.items()}
        if logbook is not None:
            logbook.scalars(self._position.step, values, epoch=self._position.epoch)
            concerns = list(self.task.concerns(losses, self._position.step))
            # The losses of networks that learn against each other rise whenever the other gets better.
            if len(self._optimizations) == 1 and self._position.step > self.options.warmup_steps:
                concerns += self._watch.train(losses)
            self._tell("training", concerns)
        self._note = ", ".join(
            [f"epoch {self._position.epoch}"]
            + [
                f"{name} loss {losses[key]:.4g}"
                for name in self._optimizations
                if (key := f"train/{name}/loss") in losses
            ]
            + [f"{value:,.0f} {name.removesuffix('_per_second')}/s" for name, value in _paces(speed)]
            + [f"{value:.0%} padding" for name, value in speed.items() if name.endswith("_padding_share")][:1]
        )

    def _tell(self, about: str, concerns: Sequence[str]) -> None:
        """Warn of what was not among the concerns the last time."""
        before, self._concerns[about] = self._concerns.get(about, ()), concerns
        for concern in concerns:
            if concern not in before:
                warn(f"step {self._position.step}: {concern}")

    def _validate(self, logbook: Logbook | None) -> bool:
        """Measure the validation data; gives whether its loss is the lowest so far."""
        sums: dict[str, tuple[Tensor | float, float]] = {}
        with self._evaluating():
            for batch in self.valid_batches:
                with self._autocast():
                    measures = self.task.validate(batch.to(self.processes.device))
                for name, measure in measures.items():
                    total, count = sums.get(name, (0.0, 0.0))
                    sums[name] = (total + measure.total, count + measure.count)
        totals: dict[str, float] = {}
        counts: dict[str, float] = {}
        for part in self.processes.gather({name: (float(total), count) for name, (total, count) in sums.items()}):
            for name, (total, count) in part.items():
                totals[name] = totals.get(name, 0.0) + total
                counts[name] = counts.get(name, 0.0) + count
        means = {name: total / counts[name] for name, total in totals.items() if counts[name]}
        if not means:
            return False
        assert "loss" in means, "Task.validate gave no loss"
        self._last_valid_losses = means
        if logbook is not None:
            values = {f"valid/{name}": value for name, value in means.items()}
            logbook.scalars(self._position.step, values, epoch=self._position.epoch)
            told = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
            say(f"step {self._position.step}: validation: {told}")
            self._tell("validation", self._watch.valid(means["loss"]))
        if not math.isfinite(means["loss"]):
            return False
        self._valid_loss = means["loss"]
        is_best = self._valid_loss < self._best_valid_loss
        self._best_valid_loss = min(self._valid_loss, self._best_valid_loss)
        return is_best

    def _show(self, logbook: Logbook | None) -> None:
        with self._evaluating():
            if self._sample_batch is None:
                self._sample_batch = next(iter(self.valid_batches), None)
            if self._sample_batch is None or logbook is None:
                return
            with self._autocast():
                samples = self.task.samples(self._sample_batch.to(self.processes.device))
        logbook.samples(self._position.step, samples)

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[None]:
        # Seeded alike every time, and without a trace: how often a run is looked at changes nothing in it.
        with kept_random_state(), torch.no_grad():
            seed_everything(self.options.seed)
            self._set_training(False)
            try:
                with self._averaged():
                    yield
            finally:
                self._set_training(True)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Let averages take the place of their networks."""
        self.task.modules.update({name: average.network for name, average in self._averages.items()})
        try:
            yield
        finally:
            self.task.modules.update(self._plain)

    # Checkpoints

    def _save(self) -> None:
        # Every process has its own random numbers, and its own share of the sums since the last line in the logbook.
        own_states = self.processes.gather({"random": random_state(), "losses": self._losses.state_dict()})
        self.processes.in_main(lambda: self._write_checkpoint(own_states))

    def _write_checkpoint(self, own_states: list[dict[str, Any]]) -> None:
        position = self._position
        self.checkpoints.save(
            position.step,
            weights={name: module.state_dict() for name, module in self._plain.items()}
            | {average_name(name): average.network.state_dict() for name, average in self._averages.items()},
            training_state={
                "optimizers": {name: each.optimizer.state_dict() for name, each in self._optimizations.items()},
                "schedulers": {
                    name: each.scheduler.state_dict()
                    for name, each in self._optimizations.items()
                    if each.scheduler is not None
                },
                "scaler": self._scaler.state_dict(),
                "overflows": self._overflows,
                "norms": self._norms,
                "watch": self._watch.state_dict(),
                "averaged": {name: average.n_updates for name, average in self._averages.items()},
                "processes": own_states,
            },
            facts={
                "epoch": position.epoch,
                "group": position.group,
                "groups_per_epoch": self.batches.groups_per_epoch(position.epoch),
                "valid_loss": self._valid_loss,
                "adjustable": self._adjustable,
                "best_valid_loss": self._best_valid_loss if math.isfinite(self._best_valid_loss) else None,
                "world_size": self.processes.world_size,
            },
        )
        self.checkpoints.prune(self.options.keep_last, self.options.keep_best)
        self._write_bundle()

    def _write_bundle(self) -> None:
        with atomic_folder(self.folder / "bundle") as folder, self._averaged():
            self.task.bundle(folder)

    def _restore(self, checkpoint: Checkpoint) -> None:
        for name, module in self._plain.items():
            checkpoint.load_module(name, module)
        state, facts = checkpoint.training_state(), checkpoint.facts
        for name, average in self._averages.items():
            average.n_updates = state.get("averaged", {}).get(name, 0)
            # A run that kept no average until now begins one with its weights.
            checkpoint.load_module(average_name(name) if average.n_updates else name, average.network)
        if set(state["optimizers"]) != set(self._optimizations):
            raise CheckpointError(
                f"{checkpoint.folder}: has optimizers for {', '.join(state['optimizers'])}, "
                f"this model for {', '.join(self._optimizations)}; resume with the settings it was trained with"
            )
        for name, optimization in self._optimizations.items():
            rates = peak_rates(optimization.optimizer)
            optimization.optimizer.load_state_dict(state["optimizers"][name])
            if optimization.scheduler is not None and name in state["schedulers"]:
                optimization.scheduler.load_state_dict(state["schedulers"][name])
            set_peak_rates(optimization.optimizer, optimization.scheduler, rates)
        if self._scaler.is_enabled() and state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        self._overflows, self._norms = state["overflows"], state["norms"]
        if "watch" in state:
            self._watch.load_state_dict(state["watch"])
        self._position = _Position(checkpoint.step, facts["epoch"], facts["group"])
        if facts["best_valid_loss"] is not None:
            self._best_valid_loss = facts["best_valid_loss"]
        self._changed = {
            name: (before[name], value)
            for before in [facts.get("adjustable", {})]
            for name, value in self._adjustable.items()
            if name in before and before[name] != value
        }
        if self._changed and self._position.group:
            # Not to the end of the epoch as it was planned: what is changed may be what the next step would fail of.
            self._end_epoch()
        if self.processes.is_main:
            for name, (old, new) in self._changed.items():
                say(f"{name}: {old} -> {new}, from step {checkpoint.step + 1} on, with which an epoch begins")

        n_groups, rank = self.batches.groups_per_epoch(self._position.epoch), self.processes.rank
        fits = facts["groups_per_epoch"] == n_groups or not self._position.group
        if facts["world_size"] == self.processes.world_size and fits:
            set_random_state(state["processes"][rank]["random"])
            self._losses.load_state_dict(state["processes"][rank]["losses"])
            return
        if self.processes.is_main:
            warn(
                f"{checkpoint.folder} was saved by {facts['world_size']} processes with epochs of "
                f"{facts['groups_per_epoch']} steps; now there are {self.processes.world_size} and {n_groups}: "
                "training goes on, but is not to the bit what it would have been"
            )
        seed_everything(self.options.seed + rank + 1_000_003 * self._position.step)
        share_done = self._position.group / max(facts["groups_per_epoch"], 1)
        self._position.group = min(int(share_done * n_groups), max(n_groups - 1, 0))

    # Telling

    def _progress(self) -> Progress:
        ends = []
        if self.options.max_steps:
            ends.append(self.options.max_steps)
        if self.options.max_epochs:
            n_groups = self.batches.groups_per_epoch(self._position.epoch)
            epochs_left = self.options.max_epochs - self._position.epoch
            ends.append(self._position.step + epochs_left * n_groups - self._position.group)
        total = max(min(ends) - self._position.step, 0) if ends else None
        return Progress(total, "training", "steps", plain_every_s=30.0)


def _parameters(optimization: Optimization) -> list[nn.Parameter]:
    return [parameter for group in optimization.optimizer.param_groups for parameter in group["params"]]


def _millions(parameters: Iterable[Tensor]) -> str:
    return f"{sum(parameter.numel() for parameter in parameters) / 1e6:.2f} M"


def _paces(speed: Mapping[str, float]) -> list[tuple[str, float]]:
    paces = [(name, value) for name, value in speed.items() if name.endswith("_per_second")]
    return [(name, value) for name, value in paces if name != "steps_per_second"][:1]


def _check_precision(precision: str, device: torch.device) -> None:
    if precision == "fp16" and device.type == "cpu":
        raise TrainingError("train.precision: fp16 needs a GPU, and this runs on the CPU; set bf16 or fp32")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        name = torch.cuda.get_device_name(device)
        raise TrainingError(f"train.precision: {name} does not compute in bf16; set fp16 or fp32")
