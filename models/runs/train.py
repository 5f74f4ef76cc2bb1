"""Training of an experiment: new, resumed or fine-tuned."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from config.load import flat_settings, read_settings, write_settings
from config.schema import ExperimentSettings
from models.bundles.locate import find_sources, place_of
from models.bundles.origin import (
    ORIGIN_FILE,
    inherited_sources,
    require_same_initial_weights,
    require_same_rows,
    write_origin,
)
from models.bundles.warm_start import find_checkpoint, find_initial_state
from models.contracts import InitialState
from models.registry import kind_of, make_task, settings_class
from models.runs.base_voice import fitting_base
from models.runs.experiment_settings import adjustable, memory_settings, settled, trainer_options, with_threads
from models.runs.speech_evaluation import evaluation_process, ranked_by
from models.runs.spoken_texts import SpokenTexts
from processors.speakers.sources import PREDICTED_SOURCES_FILE, SOURCES_FILE, Source, sources_of, sources_text
from utils.checkpoint import Checkpoint, CheckpointError, CheckpointFolder, open_checkpoint
from utils.console import info, warn
from utils.errors import RecitalError
from utils.evaluation_process import EvaluationProcess
from utils.failures import failures_in_training
from utils.lock import sole_user
from utils.logbook import LogWriter
from utils.nvlog import NvLog
from utils.processes import Processes
from utils.random_state import seed_everything
from utils.task import HasTestBatches, Task, ValidationBatches
from utils.trackers import Trackers, require_trackers
from utils.trainer import Trainer

_SIGNALLED = 128  # shells give a program ended by signal N the exit code 128 + N


def train(
    settings: ExperimentSettings, name: str, resume_type: str | None = None, checkpoint: str | None = None
) -> int:
    """Train the experiment of a name in `log_dir`, or resume it.

    Args:
        settings: present ones; only some may differ from those of an existing experiment.
        name: of the experiment.
        resume_type: `resume`: keep its own settings; `finetune`: start with the weights of `checkpoint`.
        checkpoint: what to resume or fine-tune from; the shipped base is fine-tuned where it fits and none is named.

    Returns:
        The exit code: 0, or 128 plus the number of the signal that stopped the run.

    Raises:
        RecitalError: the experiment cannot be trained with these arguments.
    """
    folder = settings.log_path / _checked_name(name)
    asked = Path(checkpoint) if checkpoint else None
    if asked is None and resume_type == "finetune":
        asked = fitting_base(settings)
    with Processes() as processes, contextlib.ExitStack() as stack:
        processes.run_on_main(lambda: stack.enter_context(sole_user(folder)))
        stack.enter_context(failures_in_training(folder, memory_settings(settings)))
        return _train(settings, folder, resume_type, asked, processes)


def sources_of_data(settings: ExperimentSettings) -> tuple[Source, ...]:
    """Return the teachers of what an experiment is trained on: of its recordings, and of mels predicted for them.

    Raises:
        SourcesError: a file that names them is damaged.
    """
    folders = [settings.preprocess.processed_path / dataset for dataset in settings.dataset]
    is_predicted = getattr(settings.train, "mel_source", "recorded") == "predicted"
    return sources_of(folders, (SOURCES_FILE, PREDICTED_SOURCES_FILE) if is_predicted else (SOURCES_FILE,))


def _train(
    today: ExperimentSettings, folder: Path, resume_type: str | None, checkpoint: Path | None, processes: Processes
) -> int:
    settings = with_threads(settled(today, folder, resuming=resume_type == "resume", quiet=not processes.is_main))
    resume, begin_at = _checkpoints(CheckpointFolder(folder / "checkpoint"), resume_type, checkpoint, processes)
    if resume is not None and resume_type == "finetune":
        assert checkpoint is not None, "_checkpoints refuses to fine-tune from nothing"
        processes.run_on_main(lambda: require_same_initial_weights(folder, checkpoint))
    require_trackers(settings.train.trackers)
    evaluation, changes = _evaluation(settings, processes)
    seed_everything(settings.train.seed)
    task = make_task(settings)
    if resume is not None:
        processes.run_on_main(lambda: require_same_rows(folder, task, settings.preprocess.processed_path))
    initial = find_initial_state(begin_at, settings, task) if begin_at is not None else None
    if initial is not None:
        initial.load_into(task.modules)
    batches = task.train_batches(processes.rank, processes.world_size)
    valid_batches = task.valid_batches(processes.rank, processes.world_size)
    options = trainer_options(settings, **changes)
    inherited: tuple[Source, ...] = ()
    if initial is not None:
        inherited = find_sources(initial.path)
    elif resume is not None:
        inherited = inherited_sources(folder)
    sources = tuple(dict.fromkeys((*inherited, *sources_of_data(settings))))
    files = {SOURCES_FILE: sources_text(sources)} if sources else {}
    trainer = Trainer(
        task,
        batches,
        valid_batches,
        folder,
        options,
        processes,
        adjustable(settings),
        evaluation,
        files,
        test_batches=_test_batches(settings, task, processes),
        settings=settings.model_dump(mode="json"),
        further_samples=_spoken_texts(settings, task),
        log_writers=processes.run_on_main(lambda: _log_writers(settings, folder)) or (),
    )
    if resume is not None and "adjustable" not in resume.metadata:  # written before checkpoints kept them
        began = read_settings(folder / "settings.json", settings_class)
        resume = replace(resume, metadata={**resume.metadata, "adjustable": adjustable(began)})
    if initial is not None:
        trainer.train_step.load_optimizer_states(initial.optimizers)

    def write_down() -> None:
        write_settings(folder / "settings.json", settings)
        if resume is None:
            write_origin(folder, task, (begin_at, initial.path) if begin_at and initial else (), inherited)
        elif not (folder / ORIGIN_FILE).exists():
            write_origin(folder, task, None)

    processes.run_on_main(write_down)
    if processes.is_main:
        _announce(folder, settings, task.modules, processes, resume, initial, list(trainer.train_step.optimizations))
        for source in sources:
            info(f"trained on speech of {source}, which the bundle names")
        for line in trainer.train_step.describe_parts():
            info(line)
        _warn_of_steps_after_the_decay(settings, batches.groups_per_epoch(0))
    with evaluation or contextlib.nullcontext():
        outcome = trainer.fit(resume)
    if processes.is_main:
        if outcome.finished:
            info(f"trained to step {outcome.step}: {folder / 'bundle'} is enough to use the model")
        else:
            info(f"stopped at step {outcome.step}, which is saved; the same command resumes from there")
    return 0 if outcome.finished else _SIGNALLED + outcome.signal_number


def _test_batches(
    settings: ExperimentSettings, task: Task, processes: Processes
) -> Callable[[], ValidationBatches] | None:
    folders = [settings.preprocess.processed_path / dataset for dataset in settings.dataset]
    if isinstance(task, HasTestBatches) and all((folder / "test.jsonl").is_file() for folder in folders):
        return partial(task.test_batches, processes.rank, processes.world_size)
    return None


def _log_writers(settings: ExperimentSettings, folder: Path) -> list[LogWriter]:
    """Open what the logbook is written to besides its own files."""
    train, writers = settings.train, list[LogWriter]()
    flat = flat_settings(settings.model_dump(mode="json"))
    if train.trackers:
        writers.append(Trackers(train.trackers, folder, flat))
    if train.nvlog:
        writers.append(NvLog(folder / "nvlog.json", flat))
    return writers


def _spoken_texts(settings: ExperimentSettings, task: Task) -> SpokenTexts | None:
    has_texts = kind_of(settings.model_type) == "acoustic" and settings.train.sample_texts != ()
    return SpokenTexts(settings, task) if has_texts else None


def _evaluation(
    settings: ExperimentSettings, processes: Processes
) -> tuple[EvaluationProcess | None, Mapping[str, Any]]:
    """Return the first process's evaluation, and the trainer's options where it is less than the settings ask for."""
    if not settings.train.evaluate_every_steps:
        return None, {}
    evaluation = processes.run_on_main(lambda: evaluation_process(settings))
    is_off = processes.run_on_main(lambda: evaluation is None, share=True)
    changes: dict[str, Any] = {"keep_best_by": processes.run_on_main(lambda: ranked_by(settings), share=True)}
    return evaluation, changes | ({"evaluate_every_steps": 0} if is_off else {})


def _checked_name(name: str) -> str:
    if name in {".", ".."} or any(mark in name for mark in "/\\\0") or not name.strip():
        raise RecitalError(f'--name "{name}": cannot be the name of a folder; use letters, digits, - and _')
    return name


def _checkpoints(
    own: CheckpointFolder, resume_type: str | None, asked: Path | None, processes: Processes
) -> tuple[Checkpoint | None, Path | None]:
    """Return the checkpoint to resume from, and the path of initial weights; each may be None."""
    if asked is not None and resume_type is None:
        raise RecitalError("--checkpoint: needs --resume_type, resume or finetune")
    if asked is None and resume_type == "finetune":
        raise RecitalError("--resume_type finetune: needs --checkpoint, the initial weights")
    if resume_type == "resume" and asked is not None:
        chosen = processes.run_on_main(lambda: _open_asked(asked), share=True)
        assert chosen is not None
        if chosen.folder.resolve().parent != own.path.resolve():
            raise RecitalError(
                f"--checkpoint {asked}: is not of this experiment ({own.path}); --resume_type finetune starts a new "
                "experiment with its weights"
            )
        return chosen, None
    newest = processes.run_on_main(own.newest, share=True)
    if newest is not None:
        return newest, None
    if resume_type == "resume":
        raise RecitalError(f"{own.path}: has no checkpoint to resume from; omit --resume_type to start")
    return None, asked


def _open_asked(path: Path) -> Checkpoint:
    """Open a checkpoint, or the newest one of a folder of them, or of an experiment."""
    path = place_of(path)
    if not path.exists():
        raise CheckpointError(f"--checkpoint {path}: there is no such folder")
    return find_checkpoint(path) or open_checkpoint(path)


def _announce(
    folder: Path,
    settings: ExperimentSettings,
    modules: Mapping[str, nn.Module],
    processes: Processes,
    resume: Checkpoint | None,
    initial: InitialState | None,
    optimizers: Sequence[str],
) -> None:
    sizes = ", ".join(
        f"{name} {sum(parameter.numel() for parameter in module.parameters()) / 1e6:.2f} M"
        for name, module in modules.items()
    )
    how_many = "1 process" if processes.world_size == 1 else f"{processes.world_size} processes"
    info(
        f"{folder}: {settings.model_type} ({sizes} parameters), {how_many} on {processes.device.type}, "
        f"{settings.train.precision}"
    )
    info(f"to watch it: {shlex.join(['python', '-m', 'bins.watch', '--infer_expt_dir', str(folder)])}")
    if resume is not None:
        info(f"resuming from {resume.folder}; another --name begins a new experiment")
    if initial is not None:
        for line in initial.describe(list(modules), optimizers):
            info(line)
    if processes.world_size == 1 and torch.cuda.device_count() > 1:
        warn(
            f"1 of {torch.cuda.device_count()} GPUs is used; choose it with --gpu. All are used by run.sh with --gpu "
            f"{','.join(map(str, range(torch.cuda.device_count())))}, or by `accelerate launch --num_processes "
            f"{torch.cuda.device_count()} -m bins.train ...`"
        )


def _warn_of_steps_after_the_decay(settings: ExperimentSettings, steps_per_epoch: int) -> None:
    train = settings.train
    last = min(steps for steps in (train.max_steps, train.max_epochs * steps_per_epoch) if steps)
    if 0 < train.last_decay_step < last:
        warn(
            f"train.decay_steps: training ends at step {last}, and from step {train.last_decay_step} on the learning "
            "rate stays at a hundredth of train.learning_rate, with little effect. Set train.decay_steps to that step; "
            "to continue an experiment that was started with fewer, train under another --name with --resume_type "
            "finetune"
        )
