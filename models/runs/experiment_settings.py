"""Settings of an experiment: its own, those that may change when it is resumed, and the trainer's options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from config.load import check_settings, differing_settings, read_settings
from config.schema import ExperimentSettings
from models.registry import settings_class
from utils.checkpoint import CheckpointFolder
from utils.console import warn
from utils.errors import RecitalError
from utils.trainer import TrainerOptions

# May change between two calls that train one experiment: when it ends, logging and checkpoints, paths. Any other
# setting changes the model or its training.
CHANGEABLE = (
    "base_config",
    "dataset_path",
    "log_dir",
    "preprocess.num_workers",
    "preprocess.processed_dir",
    "preprocess.textgrid_dir",
    "train.evaluate_every_steps",
    "train.evaluate_metrics",
    "train.evaluate_sentences",
    "train.evaluate_vocoder",
    "train.evaluate_whisper_model",
    "train.keep_best",
    "train.keep_best_by",
    "train.keep_last",
    "train.keep_samples",
    "train.log_every_steps",
    "train.max_epochs",
    "train.max_steps",
    "train.num_workers",
    "train.nvlog",
    "train.sample_every_steps",
    "train.sample_texts",
    "train.save_every_steps",
    "train.trackers",
    "train.valid_every_steps",
)
# May change as well, unless `--resume_type resume` asks for the experiment's own settings: how further steps are taken.
ADJUSTABLE = (
    "train.batch_size",
    "train.global_batch_size",
    "train.gradient_accumulation_steps",
    "train.gradient_checkpointing",
    "train.gradient_clip",
    "train.learning_rate",
    "train.max_frames_per_batch",
    "train.precision",
)


def settled(today: ExperimentSettings, folder: Path, *, resuming: bool, quiet: bool) -> ExperimentSettings:
    """Return the settings to train with: the present ones, or for an existing experiment, its own.

    Args:
        today: present settings of the recipe.
        folder: of the experiment.
        resuming: whether to keep the experiment's settings where the present ones differ.
        quiet: whether another process warns of ignored settings.

    Raises:
        RecitalError: the experiment has other settings and `resuming` is false.
    """
    path = folder / "settings.json"
    if not path.exists() or not CheckpointFolder(folder / "checkpoint").folders():
        return today  # nothing has been trained yet
    began = read_settings(path, settings_class)
    ours, theirs = today.model_dump(mode="json"), began.model_dump(mode="json")
    if 0 in (ours["train"]["num_threads"], theirs["train"]["num_threads"]):  # not set, or not recorded
        _copy_setting(theirs, ours, ["train", "num_threads"])
    free = CHANGEABLE if resuming else (*CHANGEABLE, *ADJUSTABLE)
    fixed = [line for line in differing_settings(ours, theirs) if not _is_among(line.partition(": ")[0], free)]
    if fixed and not resuming:
        raise RecitalError(
            "\n  ".join(
                [
                    f"{folder} was trained with other settings; choose another --name, or keep its own settings with "
                    "--resume_type resume. Its settings -> present ones:",
                    *fixed,
                ]
            )
        )
    if fixed and not quiet:
        warn("\n  ".join([f"{folder} is resumed with its own settings. Its settings -> ignored ones:", *fixed]))
    tree = theirs
    for name in free:
        _copy_setting(ours, tree, name.split("."))
    return check_settings(tree, type(began), {}, fallback_source=str(path))


def with_threads(settings: ExperimentSettings) -> ExperimentSettings:
    """Set the number of threads by `train.num_threads`, and return the settings with the number in use.

    Sums depend on the number of threads: an experiment keeps its number, so that resuming is bit-exact.
    """
    if settings.train.num_threads:
        torch.set_num_threads(settings.train.num_threads)
    train = settings.train.model_copy(update={"num_threads": torch.get_num_threads()})
    return settings.model_copy(update={"train": train})


def adjustable(settings: ExperimentSettings) -> dict[str, Any]:
    """Return the values of the `ADJUSTABLE` settings that the model has."""
    train = settings.train.model_dump(mode="json")
    return {name: train[key] for name in ADJUSTABLE if (key := name.removeprefix("train.")) in train}


def _is_among(name: str, others: Sequence[str]) -> bool:
    return any(name == other or name.startswith(f"{other}.") for other in others)


def _copy_setting(source: dict[str, Any], target: dict[str, Any], parts: list[str]) -> None:
    for part in parts[:-1]:
        source, target = source[part], target[part]
    if parts[-1] in source:  # not every model has each
        target[parts[-1]] = source[parts[-1]]


def memory_settings(settings: ExperimentSettings) -> dict[str, Any]:
    """Return the settings that reduce memory when lowered, with their values."""
    length = "segment_size" if hasattr(settings.train, "segment_size") else "max_frames_per_batch"
    names = ["batch_size", length, *(["precision"] if settings.train.precision == "fp32" else [])]
    return {f"train.{name}": getattr(settings.train, name) for name in names}


def trainer_options(settings: ExperimentSettings, **changes: Any) -> TrainerOptions:
    """Return the trainer's options of an experiment, with changes."""
    names = [field.name for field in fields(TrainerOptions)]
    return TrainerOptions(
        **{name: getattr(settings.train, name) for name in names if hasattr(settings.train, name)} | changes
    )
