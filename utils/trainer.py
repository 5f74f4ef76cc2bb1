"""Trainer of all models: a plain loop over training steps, in one process or many."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.checkpoint import Checkpoint, CheckpointFolder, awaits_figures, write_figures
from utils.console import Progress, info, warn
from utils.errors import RecitalError
from utils.evaluation import Diagnosis, Evaluation
from utils.evaluation_process import EvaluationProcess
from utils.files import atomic_folder, remove_partial_files, write_atomically
from utils.logbook import Logbook, LogWriter
from utils.meters import SpeedMeter
from utils.precision import Precision
from utils.processes import Processes, TrainingError
from utils.random_state import kept_random_state, random_state, seed_everything, set_random_state
from utils.sample_folder import SampleFolder
from utils.stop_request import StopRequest
from utils.task import Batches, Samples, Task, ValidationBatches
from utils.train_step import TrainStep

# At the end of training, for figures that are not there yet; below the time after which NCCL gives up.
_MAX_WAIT_S = 300.0
# A process that is slower than the training does not collect checkpoints without end.
_MAX_WAITING = 2


@dataclass(frozen=True)
class TrainerOptions:
    """Options of a training run of any model, named like the settings under `train`.

    Attributes:
        precision: of the networks' arithmetic; weights and optimizers stay in float32.
        max_steps: optimizer steps after which training ends; 0 for no limit.
        max_epochs: epochs after which training ends; 0 for no limit.
        gradient_clip: largest norm of an optimizer's gradients; 0 for no clipping.
        freeze: patterns of frozen parts (see `utils.parameter_groups.is_part`).
        warmup_steps: optimizer steps without warnings about losses, since the learning rate is still rising.
        seed: random seed.
        log_every_steps: steps between lines in the logbook.
        valid_every_steps: steps between validations.
        sample_every_steps: steps between samples, images and audio.
        save_every_steps: steps between checkpoints.
        keep_last: how many of the newest checkpoints are kept.
        keep_best: how many of the best checkpoints are kept besides; with 1 or more, and by loss, every new lowest
            loss is saved.
        keep_best_by: which are the best: of lowest validation `loss`, or of the highest figure of this name.
        evaluate_every_steps: steps between checkpoints for the evaluation process; 0 for none.
    """

    precision: Precision = "fp32"
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
    keep_best_by: str = "loss"
    evaluate_every_steps: int = 0


@dataclass(frozen=True)
class TrainingResult:
    """Result of `Trainer.fit`.

    Attributes:
        step: optimizer steps done in total.
        finished: whether `max_steps` or `max_epochs` is reached.
        signal_number: of the signal that ended it early, or 0.
        losses: latest means of the loss terms, by name.
        valid_losses: latest validation, by name.
    """

    step: int
    finished: bool
    signal_number: int
    losses: Mapping[str, float]
    valid_losses: Mapping[str, float]


@dataclass
class _Position:
    step: int = 0  # optimizer steps done
    epoch: int = 0
    group: int = 0  # groups done within the epoch


class Trainer:
    """Trains a task: step, log, validate, save, until it is finished or stopped.

    Exact: n micro-batches of b make the same step as one of n * b, and so do n processes; on the CPU a run that was
    stopped or killed and resumed is identical to an uninterrupted one to the bit.

    Args:
        task: the model in training.
        batches: this process's share of the training data.
        valid_batches: this process's share of the validation data; may be empty.
        folder: the experiment's, for `checkpoint/`, `tensorboard/`, `logbook.jsonl` and `bundle/`.
        options: how to train.
        processes: those that train together.
        adjustable: settings that may change when an experiment is resumed, as plain JSON values; kept in checkpoints.
        evaluation_process: of the first process; evaluates checkpoints every `options.evaluate_every_steps`. Their
            figures are logged at their steps when they are there; until then the checkpoint is kept.
        bundle_files: texts by file name that every bundle gets besides what the task writes.
        test_batches: called at the end of training: this process's share of the test data; None for no test.
        settings: all of the experiment, as plain JSON values, to be shown in TensorBoard.
        further_samples: called for samples beside those of the task, in the first process; None for none.
        log_writers: of the first process: further places for what the logbook gets, closed in the end.

    Attributes:
        train_step: networks and optimizers.
        evaluation: validation and samples.
        checkpoints: of the experiment.

    Raises:
        TrainingError: the device cannot compute in `options.precision`.
        PartError: `options.freeze` matches nothing, or everything.
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
        evaluation_process: EvaluationProcess | None = None,
        bundle_files: Mapping[str, str] | None = None,
        *,
        test_batches: Callable[[], ValidationBatches] | None = None,
        settings: Mapping[str, Any] | None = None,
        further_samples: Callable[[], Samples] | None = None,
        log_writers: Sequence[LogWriter] = (),
    ) -> None:
        self._test_batches, self._settings, self._log_writers = test_batches, settings, log_writers
        self._evaluation_process = evaluation_process if processes.is_main else None
        self._adjustable, self._changed = dict(adjustable or {}), dict[str, tuple[Any, Any]]()
        self._bundle_files = dict(bundle_files or {})
        self.task, self.batches, self.folder = task, batches, Path(folder)
        self.options, self.processes = options, processes
        self.checkpoints = CheckpointFolder(self.folder / "checkpoint")
        self._position, self._n_groups, self._began_at = _Position(), 0, time.monotonic()
        self._valid_loss: float | None = None  # at the present step
        self._best_valid_loss = math.inf
        self._last_losses: dict[str, float] = {}
        self._last_valid_losses: dict[str, float] = {}
        self._speed = SpeedMeter(processes.device)
        self._note = ""  # shown after the progress
        self.train_step = TrainStep(
            task,
            processes,
            precision=options.precision,
            gradient_clip=options.gradient_clip,
            frozen=options.freeze,
        )
        self.evaluation = Evaluation(task, self.train_step, valid_batches, processes, options.seed, further_samples)
        self._diagnosis = Diagnosis(
            task, is_adversarial=len(self.train_step.optimizations) > 1, warmup_steps=options.warmup_steps
        )

    def fit(self, resume: Checkpoint | None = None) -> TrainingResult:
        """Train until `max_steps` or `max_epochs`, or until SIGINT or SIGTERM; the last step is always saved.

        Args:
            resume: checkpoint to resume from; None to start with the present weights.

        Raises:
            TrainingError: a loss or gradient is NaN or infinite; the weights are neither updated nor saved.
            CheckpointError: a checkpoint could not be written, or does not fit.
        """
        seed_everything(self.options.seed + self.processes.rank)
        if resume is not None:
            self._restore(resume)
        self.processes.barrier()
        logbook = self.processes.run_on_main(self._open_folder)
        with StopRequest() as request, logbook or contextlib.nullcontext():
            self._submit_waiting()
            began = self._position.step
            if self._settings is not None and logbook is not None and not began:
                logbook.settings(began, self._settings)
            if self._changed and logbook is not None:
                # At the next step: resuming from here again drops this line and writes it once more.
                logbook.changes(self._position.step + 1, self._changed)
            stopped = self._train(logbook, request)
            if not stopped:
                if self._position.step > began:
                    self._test(logbook)
                self._wait_for_figures(logbook, request)
        # Another process may have received the signal that stopped all.
        signal_number = request.signal_number or (int(signal.SIGTERM) if stopped else 0)
        return TrainingResult(
            self._position.step, self._is_finished(), signal_number, self._last_losses, self._last_valid_losses
        )

    def _open_folder(self) -> Logbook:
        remove_partial_files(self.folder)
        remove_partial_files(self.checkpoints.path)
        SampleFolder(self.folder).drop_after(self._position.step)
        for folder in self.checkpoints.set_aside_after(self._position.step):
            warn(f"{folder}: renamed, because training resumes from step {self._position.step}, before it")
        if self._position.step and not (self.folder / "bundle").is_dir():
            self._write_bundle()  # killed between checkpoint and bundle
        return Logbook(self.folder, self._position.step, self._log_writers)

    # The loop

    def _train(self, logbook: Logbook | None, request: StopRequest) -> bool:
        """Take steps until the end; return whether any process was asked to stop."""
        position = self._position
        stop = False
        self.train_step.set_training(True)
        self._began_at = time.monotonic()
        with self._progress() if self.processes.is_main else contextlib.nullcontext() as progress:
            while not stop and not self._is_finished():
                self._n_groups = n_groups = self.batches.groups_per_epoch(position.epoch)
                if n_groups < 1:
                    raise TrainingError("the training set yields no batches; see the report of stage 1")
                for group in self._groups():
                    for batch in group:
                        self._speed.add(batch)
                    stop = self.train_step.take(group, position.step, request)
                    self._speed.stepped()
                    position.step, position.group = position.step + 1, position.group + 1
                    if position.group == n_groups:
                        self._end_epoch()
                    self._after_step(logbook, stop)
                    if progress is not None:
                        progress.advance(1, self._note)
                    if stop or self._is_finished():
                        break
                else:
                    assert position.group == 0, f"{position.group} groups in an epoch of {n_groups}"

        return stop

    def _end_epoch(self) -> None:
        self._position.epoch, self._position.group = self._position.epoch + 1, 0
        self.train_step.end_epoch()

    def _is_finished(self) -> bool:
        steps, epochs = self.options.max_steps, self.options.max_epochs
        return bool(steps and self._position.step >= steps) or bool(epochs and self._position.epoch >= epochs)

    def _groups(self) -> Iterator[list[Any]]:
        # Fetching may draw from the global generators (a data loader draws a seed when it starts), which must not
        # affect the training: a resumed run starts a loader where the uninterrupted one did not.
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

    # Between steps

    def _after_step(self, logbook: Logbook | None, stop: bool) -> None:
        """Log, validate, log samples and save, each if it is due."""
        options, finished = self.options, self._is_finished()
        self._valid_loss = None
        if self._is_due(options.log_every_steps) or finished:
            self._log(logbook)
        self._speed.pause()
        self._collect_figures(logbook)
        is_best = False
        if self._is_due(options.valid_every_steps) or finished:
            is_best = self._validate(logbook)
        if self._is_due(options.sample_every_steps) or finished:
            self.processes.run_on_main(lambda: self._log_samples(logbook))
        is_best = is_best and options.keep_best > 0 and options.keep_best_by == "loss"
        evaluates = bool(options.evaluate_every_steps) and (self._is_due(options.evaluate_every_steps) or finished)
        if self._is_due(options.save_every_steps) or is_best or evaluates or finished or stop:
            self._save(evaluates)

    def _is_due(self, every_steps: int) -> bool:
        return self._position.step % every_steps == 0

    def _log(self, logbook: Logbook | None) -> None:
        losses = self.train_step.losses.read(self.processes.all_reduce_sum)
        if not losses:
            return
        speed = self._speed.read(self.processes.all_reduce_sum)
        self._last_losses = losses
        speed["elapsed_s"] = time.monotonic() - self._began_at
        values = losses | self.train_step.figures() | {f"speed/{name}": value for name, value in speed.items()}
        if logbook is not None:
            self._log_values(logbook, values)
            self._diagnosis.training(self._position.step, losses)
        self._note = ", ".join(
            [f"epoch {self._position.epoch}"]
            + [
                f"{name} loss {losses[key]:.4g}"
                for name in self.train_step.optimizations
                if (key := f"train/{name}/loss") in losses
            ]
            + [f"{value:,.0f} {name.removesuffix('_per_second')}/s" for name, value in _rates(speed)]
            + [f"{value:.0%} padding" for name, value in speed.items() if name.endswith("_padding_share")][:1]
        )

    def _validate(self, logbook: Logbook | None) -> bool:
        """Validate; return whether the loss is the lowest so far."""
        means = self.evaluation.validate()
        if not means:
            return False
        self._last_valid_losses = means
        if logbook is not None:
            self._log_values(logbook, {f"valid/{name}": value for name, value in means.items()})
            info(f"step {self._position.step}: validation: {_listed(means)}")
            self._diagnosis.validation(self._position.step, means["loss"])
        if not math.isfinite(means["loss"]):
            return False
        self._valid_loss = means["loss"]
        is_best = self._valid_loss < self._best_valid_loss
        self._best_valid_loss = min(self._valid_loss, self._best_valid_loss)
        return is_best

    def _test(self, logbook: Logbook | None) -> None:
        """Measure the trained model on the test split."""
        if self._test_batches is None:
            return
        try:
            means = self.evaluation.validate(self._test_batches())
        except RecitalError as error:  # of data that is not there or damaged, for all processes alike
            if logbook is not None:
                warn(f"the test split is not measured: {error}")
            return
        if means and logbook is not None:
            self._log_values(logbook, {f"test/{name}": value for name, value in means.items()})
            info(f"step {self._position.step}: test: {_listed(means)}")

    def _log_values(self, logbook: Logbook, values: Mapping[str, float]) -> None:
        logbook.scalars(self._position.step, values, self._place, epoch=self._position.epoch)

    @property
    def _place(self) -> tuple[int, int, int]:
        """Epoch and step within it, both from 1, of the last step, and the steps of an epoch."""
        position, n_groups = self._position, self._n_groups
        if position.epoch and not position.group:
            return position.epoch, n_groups, n_groups
        return position.epoch + 1, position.group, n_groups

    def _log_samples(self, logbook: Logbook | None) -> None:
        samples = self.evaluation.samples()
        if samples is not None and logbook is not None:
            logbook.samples(self._position.step, samples)

    # Checkpoints

    def _save(self, evaluates: bool) -> None:
        # Every process has its own random state, and its own share of the sums since the last line in the logbook.
        own_states = self.processes.gather({"random": random_state(), "losses": self.train_step.losses.state_dict()})
        self.processes.run_on_main(lambda: self._write_checkpoint(own_states, evaluates))

    def _write_checkpoint(self, own_states: list[dict[str, Any]], evaluates: bool) -> None:
        position = self._position
        evaluates = evaluates and self._has_time_to_evaluate()
        folder = self.checkpoints.save(
            position.step,
            weights=self.train_step.weights(),
            training_state=self.train_step.state_dict()
            | {"watch": self._diagnosis.state_dict(), "processes": own_states},
            metadata={
                "epoch": position.epoch,
                "group": position.group,
                "groups_per_epoch": self.batches.groups_per_epoch(position.epoch),
                "valid_loss": self._valid_loss,
                "adjustable": self._adjustable,
                "best_valid_loss": self._best_valid_loss if math.isfinite(self._best_valid_loss) else None,
                "world_size": self.processes.world_size,
                "awaits_figures": evaluates,
            },
        )
        self._prune()
        self._write_bundle()
        if evaluates and self._evaluation_process is not None:
            self._evaluation_process.submit(position.step, folder)

    def _prune(self) -> None:
        process, options = self._evaluation_process, self.options
        waiting = process.waiting if process is not None else ()
        self.checkpoints.prune(options.keep_last, options.keep_best, options.keep_best_by, waiting)

    def _write_bundle(self) -> None:
        with atomic_folder(self.folder / "bundle") as folder, self.evaluation.averaged():
            self.task.bundle(folder)
            for name, text in self._bundle_files.items():
                write_atomically(folder / name, text)

    # Figures of the evaluation process

    def _has_time_to_evaluate(self) -> bool:
        process = self._evaluation_process
        if process is None or process.has_failed:
            return False
        if len(process.waiting) < _MAX_WAITING or self._is_finished():
            return True
        warn(
            f"step {self._position.step} is not evaluated: {len(process.waiting)} checkpoints wait already; raise "
            "train.evaluate_every_steps"
        )
        return False

    def _submit_waiting(self) -> None:
        """Evaluate the checkpoints whose figures the last run did not wait for."""
        if self._evaluation_process is not None:
            for folder in self.checkpoints.folders():
                if awaits_figures(folder):
                    self._evaluation_process.submit(int(folder.name.removeprefix("step-")), folder)

    def _collect_figures(self, logbook: Logbook | None, timeout_s: float = 0.0) -> None:
        """Log the figures that are there, at the steps that they belong to."""
        if self._evaluation_process is None or logbook is None:
            return
        for step, figures in self._evaluation_process.finished(timeout_s):
            if figures:
                logbook.scalars(step, {f"evaluation/{name}": value for name, value in figures.items()}, self._place)
                info(f"step {step}: evaluation: {_listed(figures)}")
            if (folder := self.checkpoints.folder(step)).is_dir():
                write_figures(folder, figures)
            self._prune()

    def _wait_for_figures(self, logbook: Logbook | None, request: StopRequest) -> None:
        process = self._evaluation_process
        if process is None or not process.waiting:
            return
        info(f"waiting for the evaluation of step {', '.join(map(str, sorted(process.waiting)))}; Ctrl-C skips it")
        until = time.monotonic() + _MAX_WAIT_S
        while process.waiting and not request.signal_number and time.monotonic() < until:
            self._collect_figures(logbook, timeout_s=0.2)
        if process.waiting:
            warn("training ends before all checkpoints are evaluated; the same command evaluates them")

    def _restore(self, checkpoint: Checkpoint) -> None:
        state, metadata = checkpoint.training_state(), checkpoint.metadata
        self.train_step.load(checkpoint, state)
        if "watch" in state:
            self._diagnosis.load_state_dict(state["watch"])
        self._position = _Position(checkpoint.step, metadata["epoch"], metadata["group"])
        if metadata["best_valid_loss"] is not None:
            self._best_valid_loss = metadata["best_valid_loss"]
        before = metadata.get("adjustable", {})
        self._changed = {
            name: (before[name], value)
            for name, value in self._adjustable.items()
            if name in before and before[name] != value
        }
        if self._changed and self._position.group:
            # Not to the end of the planned epoch: the next step might fail without the change.
            self._end_epoch()
        if self.processes.is_main:
            for name, (old, new) in self._changed.items():
                info(f"{name}: {old} -> {new}, from step {checkpoint.step + 1} on, which begins an epoch")

        n_groups, rank = self.batches.groups_per_epoch(self._position.epoch), self.processes.rank
        fits = metadata["groups_per_epoch"] == n_groups or not self._position.group
        if metadata["world_size"] == self.processes.world_size and fits:
            set_random_state(state["processes"][rank]["random"])
            self.train_step.losses.load_state_dict(state["processes"][rank]["losses"])
            return
        if self.processes.is_main:
            warn(
                f"{checkpoint.folder} was saved by {metadata['world_size']} processes with epochs of "
                f"{metadata['groups_per_epoch']} steps; now there are {self.processes.world_size} and {n_groups}: "
                "training resumes, but not bit-exactly"
            )
        seed_everything(self.options.seed + rank + 1_000_003 * self._position.step)
        share_done = self._position.group / max(metadata["groups_per_epoch"], 1)
        self._position.group = min(int(share_done * n_groups), max(n_groups - 1, 0))

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


def _listed(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


def _rates(speed: Mapping[str, float]) -> list[tuple[str, float]]:
    rates = [(name, value) for name, value in speed.items() if name.endswith("_per_second")]
    return [(name, value) for name, value in rates if name != "steps_per_second"][:1]
