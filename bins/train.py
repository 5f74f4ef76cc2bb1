"""Stage 2: train the model that the settings name."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bins.command import choose_gpus, load, make_parser, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.schema import ExperimentSettings
    from models.contracts import InitialState
    from utils.checkpoint import Checkpoint
    from utils.processes import Processes

# What may change between two calls that train one experiment: when it ends, how it is watched and kept, where things
# lie. Everything else makes another model, or another way to it.
CHANGEABLE = (
    "base_config",
    "dataset_path",
    "log_dir",
    "preprocess.num_workers",
    "preprocess.processed_dir",
    "preprocess.textgrid_dir",
    "train.keep_best",
    "train.keep_last",
    "train.log_every_steps",
    "train.max_epochs",
    "train.max_steps",
    "train.num_workers",
    "train.sample_every_steps",
    "train.save_every_steps",
    "train.valid_every_steps",
)
# What may change besides, where the experiment's own settings are not asked for: how the steps to come are taken.
ADJUSTABLE = (
    "train.batch_size",
    "train.gradient_accumulation_steps",
    "train.gradient_clip",
    "train.learning_rate",
    "train.max_frames_per_batch",
    "train.precision",
)
_SIGNALLED = 128  # shells give a program ended by signal N the exit code 128 + N


def main(arguments: argparse.Namespace) -> int:
    choose_gpus(arguments.gpu)
    today = load(arguments).settings

    if arguments.overfit_one_batch:
        from utils.failures import failures_in_training
        from utils.processes import Processes

        with Processes() as processes, failures_in_training("", _takes_memory(today)):
            return _overfit_one_batch(today, arguments.overfit_one_batch, processes)
    return train(today, arguments.name, arguments.resume_type, arguments.checkpoint)


def train(
    settings: ExperimentSettings, name: str, resume_type: str | None = None, checkpoint: str | None = None
) -> int:
    """Train the experiment of that name in `log_dir`, or go on where it stopped; gives the exit code.

    Args:
        settings: today's; of an experiment that has begun only some may differ.
        name: the experiment.
        resume_type: the flag.
        checkpoint: the flag.
    """
    from utils.failures import failures_in_training
    from utils.lock import sole_user
    from utils.processes import Processes

    folder = settings.log_path / _checked_name(name)
    flags = argparse.Namespace(resume_type=resume_type, checkpoint=checkpoint)
    with Processes() as processes, contextlib.ExitStack() as stack:
        processes.in_main(lambda: stack.enter_context(sole_user(folder)))
        stack.enter_context(failures_in_training(folder, _takes_memory(settings)))
        return _train(settings, folder, flags, processes)


def _train(today: ExperimentSettings, folder: Path, arguments: argparse.Namespace, processes: Processes) -> int:
    import dataclasses

    from config.load import read_settings, write_settings
    from models.bundles.origin import ORIGIN_FILE, require_same_initial_weights, require_same_rows, write_origin
    from models.bundles.warm_start import find_initial_state
    from models.registry import make_task, settings_class
    from utils.checkpoint import CheckpointFolder
    from utils.console import say
    from utils.random_state import seed_everything
    from utils.trainer import Trainer

    settings = _settled(today, folder, arguments.resume_type == "resume", quiet=not processes.is_main)
    resume, begin_at = _checkpoints(CheckpointFolder(folder / "checkpoint"), arguments, processes)
    if resume is not None and arguments.resume_type == "finetune":
        processes.in_main(lambda: require_same_initial_weights(folder, Path(arguments.checkpoint)))
    seed_everything(settings.train.seed)
    task = make_task(settings)
    if resume is not None:
        processes.in_main(lambda: require_same_rows(folder, task, settings.preprocess.processed_path))
    initial = find_initial_state(begin_at, settings, task) if begin_at is not None else None
    if initial is not None:
        initial.load_into(task.modules)
    batches = task.train_batches(processes.rank, processes.world_size)
    valid_batches = task.valid_batches(processes.rank, processes.world_size)
    adjustable = _adjustable(settings)
    trainer = Trainer(task, batches, valid_batches, folder, _options(settings), processes, adjustable)
    if resume is not None and "adjustable" not in resume.facts:  # written before checkpoints kept them
        began = read_settings(folder / "settings.json", settings_class)
        resume = dataclasses.replace(resume, facts={**resume.facts, "adjustable": _adjustable(began)})
    if initial is not None:
        trainer.train_step.load_optimizer_states(initial.optimizers)

    def write_down() -> None:
        write_settings(folder / "settings.json", settings)
        if resume is None:
            write_origin(folder, task, (begin_at, initial.place) if begin_at and initial else ())
        elif not (folder / ORIGIN_FILE).exists():
            write_origin(folder, task, None)

    processes.in_main(write_down)
    if processes.is_main:
        _announce(folder, settings, task.modules, processes, resume, initial, list(trainer.train_step.optimizations))
        for line in trainer.train_step.describe_parts():
            say(line)
        _warn_of_steps_past_the_decay(settings, batches.groups_per_epoch(0))
    outcome = trainer.fit(resume)
    if processes.is_main:
        if outcome.finished:
            say(f"trained to step {outcome.step}: {folder / 'bundle'} is enough to use the model")
        else:
            say(f"stopped at step {outcome.step}, which is saved; the same command goes on from there")
    return 0 if outcome.finished else _SIGNALLED + outcome.signal_number


def _takes_memory(settings: ExperimentSettings) -> dict[str, Any]:
    """Return the settings by which training takes less memory, with their values."""
    length = "segment_size" if hasattr(settings.train, "segment_size") else "max_frames_per_batch"
    names = ["batch_size", length, *(["precision"] if settings.train.precision == "fp32" else [])]
    return {f"train.{name}": getattr(settings.train, name) for name in names}


def _checked_name(name: str) -> str:
    from utils.errors import RecitalError

    if name in {".", ".."} or any(mark in name for mark in "/\\\0") or not name.strip():
        raise RecitalError(f'--name "{name}": cannot be the name of a folder; use letters, digits, - and _')
    return name


def _settled(today: ExperimentSettings, folder: Path, resuming: bool, quiet: bool) -> ExperimentSettings:
    """Give the settings to train with: today's, or for an experiment that has begun, those it began with.

    Raises:
        RecitalError: the experiment has other settings and was not asked to go on with them.
    """
    from config.load import check_settings, differing_settings, read_settings
    from models.registry import settings_class
    from utils.checkpoint import CheckpointFolder
    from utils.console import warn
    from utils.errors import RecitalError

    path = folder / "settings.json"
    if not path.exists() or not CheckpointFolder(folder / "checkpoint").folders():
        return today  # nothing has been learned that other settings could spoil
    began = read_settings(path, settings_class)
    ours, theirs = today.model_dump(mode="json"), began.model_dump(mode="json")
    free = CHANGEABLE if resuming else (*CHANGEABLE, *ADJUSTABLE)
    fixed = [line for line in differing_settings(ours, theirs) if not _is_among(line.partition(": ")[0], free)]
    if fixed and not resuming:
        raise RecitalError(
            "\n  ".join(
                [
                    f"{folder} was trained with other settings; take another --name, or go on with its own by "
                    "--resume_type resume. It has -> now asked for:",
                    *fixed,
                ]
            )
        )
    if fixed and not quiet:
        warn("\n  ".join([f"{folder} goes on with the settings it began with. It has -> not taken over:", *fixed]))
    tree = theirs
    for name in free:
        _copy_setting(ours, tree, name.split("."))
    return check_settings(tree, type(began), {}, fallback_source=str(path))


def _adjustable(settings: ExperimentSettings) -> dict[str, Any]:
    train = settings.train.model_dump(mode="json")
    return {name: train[key] for name in ADJUSTABLE if (key := name.removeprefix("train.")) in train}


def _is_among(name: str, others: Sequence[str]) -> bool:
    return any(name == other or name.startswith(f"{other}.") for other in others)


def _copy_setting(source: dict[str, Any], target: dict[str, Any], parts: list[str]) -> None:
    for part in parts[:-1]:
        source, target = source[part], target[part]
    if parts[-1] in source:  # not every model has each
        target[parts[-1]] = source[parts[-1]]


def _checkpoints(
    own: Any, arguments: argparse.Namespace, processes: Processes
) -> tuple[Checkpoint | None, Path | None]:
    """Find where to go on from, and the place of what to begin with; each may be None."""
    from utils.errors import RecitalError

    asked = Path(arguments.checkpoint) if arguments.checkpoint else None
    if asked is not None and arguments.resume_type is None:
        raise RecitalError("--checkpoint: say with --resume_type whether to resume or to finetune")
    if asked is None and arguments.resume_type == "finetune":
        raise RecitalError("--resume_type finetune: name with --checkpoint whose weights to begin with")
    if arguments.resume_type == "resume" and asked is not None:
        chosen = processes.in_main(lambda: _open_asked(asked), share=True)
        assert chosen is not None
        if chosen.folder.resolve().parent != own.path.resolve():
            raise RecitalError(
                f"--checkpoint {asked}: is not of this experiment ({own.path}); --resume_type finetune begins a new "
                "experiment with its weights"
            )
        return chosen, None
    newest = processes.in_main(own.newest, share=True)
    if newest is not None:
        return newest, None
    if arguments.resume_type == "resume":
        raise RecitalError(f"{own.path}: has no checkpoint to resume from; leave --resume_type out to begin")
    return None, asked


def _open_asked(place: Path) -> Checkpoint:
    """Open a checkpoint, or the newest one of a folder of them, or of an experiment."""
    from models.bundles.warm_start import find_checkpoint
    from utils.checkpoint import CheckpointError, open_checkpoint

    if not place.exists():
        raise CheckpointError(f"--checkpoint {place}: there is no such folder")
    return find_checkpoint(place) or open_checkpoint(place)


def _options(settings: ExperimentSettings, **changes: Any) -> Any:
    import dataclasses

    from utils.trainer import TrainerOptions

    names = [field.name for field in dataclasses.fields(TrainerOptions)]
    return TrainerOptions(
        **{name: getattr(settings.train, name) for name in names if hasattr(settings.train, name)} | changes
    )


def _announce(
    folder: Path,
    settings: ExperimentSettings,
    modules: Any,
    processes: Processes,
    resume: Checkpoint | None,
    initial: InitialState | None,
    optimizers: Sequence[str],
) -> None:
    import torch

    from utils.console import say, warn

    sizes = ", ".join(
        f"{name} {sum(parameter.numel() for parameter in module.parameters()) / 1e6:.2f} M"
        for name, module in modules.items()
    )
    how_many = "1 process" if processes.world_size == 1 else f"{processes.world_size} processes"
    say(
        f"{folder}: {settings.model_type} ({sizes} parameters), {how_many} on {processes.device.type}, "
        f"{settings.train.precision}"
    )
    if resume is not None:
        say(f"going on from {resume.folder}; another --name begins anew")
    if initial is not None:
        for line in initial.describe(list(modules), optimizers):
            say(line)
    if processes.world_size == 1 and torch.cuda.device_count() > 1:
        warn(
            f"1 of {torch.cuda.device_count()} GPUs is used; start with `accelerate launch --num_processes "
            f"{torch.cuda.device_count()} -m bins.train ...` for all, or choose with --gpu"
        )


def _warn_of_steps_past_the_decay(settings: ExperimentSettings, steps_per_epoch: int) -> None:
    from utils.console import warn

    train = settings.train
    last = min(steps for steps in (train.max_steps, train.max_epochs * steps_per_epoch) if steps)
    if 0 < train.last_decay_step < last:
        warn(
            f"train.decay_steps: training ends at step {last}, and from step {train.last_decay_step} on the learning "
            "rate stays at a hundredth of train.learning_rate: little is learned there. Begin with a train.decay_steps "
            "of that many steps; to go on from an experiment that has begun with fewer, train under another --name "
            "with --resume_type finetune"
        )


def _overfit_one_batch(settings: ExperimentSettings, steps: int, processes: Processes) -> int:
    """Learn the first batches by heart, in a folder that is thrown away; gives 0 if that succeeds, else 1."""
    import tempfile

    from models.registry import make_task
    from utils.console import say
    from utils.logbook import read_logbook
    from utils.random_state import seed_everything
    from utils.trainer import Trainer

    class Repeated:
        def __init__(self, group: list[Any]) -> None:
            self._group = group

        def groups_per_epoch(self, epoch: int) -> int:
            return steps

        def groups(self, epoch: int, start_group: int = 0) -> Iterator[list[Any]]:
            for _ in range(start_group, steps):
                yield self._group

    seed_everything(settings.train.seed)
    task = make_task(settings)
    group = next(task.train_batches(processes.rank, processes.world_size).groups(0))
    unwatched = dict.fromkeys(("valid_every_steps", "sample_every_steps", "save_every_steps"), steps + 1)
    options = _options(settings, max_steps=steps, max_epochs=0, log_every_steps=max(steps // 20, 1), **unwatched)
    with tempfile.TemporaryDirectory(prefix="recital-overfit-") as folder:
        Trainer(task, Repeated(group), (), folder, options, processes).fit()
        lines = read_logbook(Path(folder) / "logbook.jsonl") if processes.is_main else []
    passed = True
    for name in lines[0] if lines else ():
        if name.startswith("train/") and name.endswith("/loss"):
            first, last = lines[0][name], lines[-1][name]
            learned = last < first / 2
            passed = passed and learned
            say(f"{'pass' if learned else 'FAIL'}: {name} went from {first:.4g} to {last:.4g} in {steps} steps")
    return 0 if passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.train", "Train a model on what stage 1 prepared; the same command again goes on where it stopped."
    )
    add = parser.add_argument
    add("--name", required=True, help="the experiment, which is its folder in log_dir")
    add(
        "--resume_type",
        choices=["resume", "finetune"],
        help="resume goes on with the settings the experiment began with, whatever the config says today; finetune "
        "begins a new experiment with the weights of --checkpoint",
    )
    add(
        "--checkpoint",
        metavar="DIR",
        help="what to resume or fine-tune from: a checkpoint, the experiment's newest unless given; to fine-tune also "
        "another experiment, a bundle, or a checkpoint as the model's authors publish them (HiFi-GAN's g_* and "
        "config.json, with do_* the discriminators and optimizer states too)",
    )
    add("--gpu", metavar="LIST", help='GPUs to choose from, as in "0,1"; "" for the CPU; all unless given')
    add(
        "--overfit_one_batch",
        type=int,
        default=0,
        metavar="STEPS",
        help="try instead whether STEPS steps on the same batch at least halve its loss; nothing is kept",
    )
    return parser


if __name__ == "__main__":
    run(main, _parser())
