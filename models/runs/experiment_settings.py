"""Settings of an experiment: those it began with, what may change on going on, and what the trainer takes of them."""

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


def settled(today: ExperimentSettings, folder: Path, *, resuming: bool, quiet: bool) -> ExperimentSettings:
    """Return the settings to train with: today's, or for an experiment that has begun, those it began with.

    Args:
        today: of the recipe.
        folder: of the experiment.
        resuming: whether to go on with its own settings wherever today's differ.
        quiet: whether another process warns of what is not taken over.

    Raises:
        RecitalError: the experiment has other settings and was not asked to go on with them.
    """
    path = folder / "settings.json"
    if not path.exists() or not CheckpointFolder(folder / "checkpoint").folders():
        return today  # nothing has been learned that other settings could spoil
    began = read_settings(path, settings_class)
    ours, theirs = today.model_dump(mode="json"), began.model_dump(mode="json")
    if 0 in (ours["train"]["num_threads"], theirs["train"]["num_threads"]):  # not asked for, or never kept
        _copy_setting(theirs, ours, ["train", "num_threads"])
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


def with_threads(settings: ExperimentSettings) -> ExperimentSettings:
    """Return settings whose `train.num_threads` is the number that this process computes with from now on.

    Sums over threads depend on how many there are: an experiment keeps its number, so that going on changes no bit.
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
    """Return the settings by which training takes less memory, with their values."""
    length = "segment_size" if hasattr(settings.train, "segment_size") else "max_frames_per_batch"
    names = ["batch_size", length, *(["precision"] if settings.train.precision == "fp32" else [])]
    return {f"train.{name}": getattr(settings.train, name) for name in names}


def trainer_options(settings: ExperimentSettings, **changes: Any) -> TrainerOptions:
    """Return the trainer's options of an experiment, some of them changed."""
    names = [field.name for field in fields(TrainerOptions)]
    return TrainerOptions(
        **{name: getattr(settings.train, name) for name in names if hasattr(settings.train, name)} | changes
    )
