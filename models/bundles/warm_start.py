"""Warm start: initial weights and optimizer state from a checkpoint, a bundle or a published model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from config.load import differing_settings
from config.schema import ExperimentSettings
from models.bundle import WEIGHTS_FILE, Bundle, BundleError
from models.bundles.embedding_rows import transfer_rows
from models.bundles.layouts import Found, find_foreign
from models.bundles.locate import find_bundle, open_bundle, place_of
from models.bundles.vocoder import vocoder_within
from models.contracts import HasDiscriminators, HasEmbeddingRows, HasWeightsAddedLater, InitialState, RowKind
from models.layers.spoken_languages import SpokenLanguages
from models.registry import kind_of, make_task
from processors.audio.mel_settings import MEL_SETTINGS
from utils.bundle_file import is_file
from utils.checkpoint import Checkpoint, CheckpointFolder, open_checkpoint, unfitting
from utils.optimizer_state import OptimizerStateError, named_state, parameter_names
from utils.parameter_groups import is_part
from utils.task import Task


def find_initial_state(path: Path | str, settings: ExperimentSettings, task: Task) -> InitialState:
    """Open the initial state of a new training.

    A checkpoint, the newest one of an experiment, a bundle, or a checkpoint in a published layout. Of a checkpoint of
    ours the weights as they are learned are taken, not their moving averages. Where the new training has other
    symbols or speakers, rows of tables are carried over by name (see `transfer_rows`); what an optimizer remembers of a
    table that changed is left behind. Discriminators of another size are left out, and begin at random.

    Args:
        path: names it.
        settings: of the new training.
        task: the new training; its weights do not matter here.

    Raises:
        BundleError: there is nothing of the kind, it is another model's, or its symbols or speakers are unknown.
        CheckpointError: a checkpoint is damaged.
    """
    initial = _with_our_rows(_find(place_of(path), settings, task), settings, task)
    return _without_unfitting_discriminators(_with_added_weights(initial, task), task)


def _find(path: Path, settings: ExperimentSettings, task: Task) -> InitialState:
    if (checkpoint := find_checkpoint(path)) is not None:
        initial = _of_checkpoint(checkpoint, task.modules)
        bundle_folder = checkpoint.folder.parent.parent / "bundle"
        if not isinstance(task, HasEmbeddingRows) or not bundle_folder.is_dir():
            return initial
        bundle = open_bundle(bundle_folder)
        _require_same_model(bundle, path, settings)
        return replace(initial, names=names_of(bundle), remarks=_remarks(bundle, settings))
    if (found := _foreign(path)) is not None:
        reader, file = found.reader(), found.evidence.file
        bundle = reader.open_published(file)
        _require_same_model(bundle, path, settings)
        initial = _for_task(reader.published_training(file), task)
        return replace(initial, remarks=(*initial.remarks, *_remarks(bundle, settings)))
    bundle = find_bundle(path)
    within = vocoder_within(bundle) if kind_of(settings.model_type) == "vocoder" else bundle
    return _of_bundle(within, path if within is bundle else within.folder, settings, task.modules)


def _for_task(initial: InitialState, task: Task) -> InitialState:
    """Leave out modules that the task has not, and the states of optimizers over any of them."""
    modules = {name: weights for name, weights in initial.modules.items() if name in task.modules}
    optimizers = {
        name: state
        for name, state in initial.optimizers.items()
        if all(parameter.partition(".")[0] in modules for parameter in state.moments)
    }
    return replace(initial, modules=modules, optimizers=optimizers)


def find_training(path: Path | str, settings: ExperimentSettings) -> InitialState | None:
    """Read the complete state of a training run; None if a path has only a model.

    Args:
        path: a checkpoint, an experiment, or a checkpoint in a published layout.
        settings: those it was trained with.

    Raises:
        CheckpointError: a checkpoint is damaged.
    """
    path = place_of(path)
    if (checkpoint := find_checkpoint(path)) is None:
        found = _foreign(path)
        return found.reader().published_training(found.evidence.file) if found is not None else None
    task, state = make_task(settings), checkpoint.training_state()
    optimizers = {}
    for name, optimization in task.optimizers().items():
        try:
            names = parameter_names(optimization.optimizer, task.modules)
            optimizers[name] = named_state(state["optimizers"][name], names)
        except (KeyError, OptimizerStateError) as error:
            raise BundleError(f"{checkpoint.folder}: what is kept for the optimizer of {name}: {error}") from error
    initial = _of_checkpoint(checkpoint, task.modules)
    return replace(initial, optimizers=optimizers, epoch=checkpoint.metadata["epoch"])


def _foreign(path: Path) -> Found | None:
    is_ours = (path / "bundle").is_dir() or is_file(path / WEIGHTS_FILE)
    return None if is_ours else find_foreign(path)


def find_checkpoint(path: Path) -> Checkpoint | None:
    """Open a checkpoint, or the newest one of a folder of them, or of an experiment; None if there is none.

    Raises:
        CheckpointError: what there is is damaged.
    """
    for folder in (CheckpointFolder(path), CheckpointFolder(path / "checkpoint")):
        if newest := folder.newest():
            return newest
    is_one = (path / "checkpoint.json").is_file() or path in CheckpointFolder(path.parent).folders()
    return open_checkpoint(path) if is_one else None


def _of_checkpoint(checkpoint: Checkpoint, modules: Mapping[str, nn.Module]) -> InitialState:
    held = {path.stem for path in checkpoint.folder.glob("*.safetensors")}
    if not held & set(modules):
        raise BundleError(
            f"{checkpoint.folder}: holds {', '.join(sorted(held)) or 'nothing'}, and this model needs "
            f"{', '.join(modules)}: it is another model's"
        )
    weights = {name: _as_in(module, checkpoint.weights(name)) for name, module in modules.items() if name in held}
    return InitialState(checkpoint.folder, weights, step=checkpoint.step)


def _as_in(module: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put weights into a module's order: in a file of safetensors they stand by the alphabet."""
    ordered = [name for name in module.state_dict() if name in weights]
    return {name: weights[name] for name in [*ordered, *(name for name in weights if name not in ordered)]}


def _of_bundle(
    bundle: Bundle, path: Path, settings: ExperimentSettings, modules: Mapping[str, nn.Module]
) -> InitialState:
    _require_same_model(bundle, path, settings)
    # A bundle holds the one network that is used; most of its names are that network's even where it does not fit.
    name = max(modules, key=lambda name: len(modules[name].state_dict().keys() & bundle.weights.keys()))
    return InitialState(path, {name: bundle.weights}, names=names_of(bundle), remarks=_remarks(bundle, settings))


def names_of(bundle: Bundle) -> dict[RowKind, Sequence[str]]:
    """Return the names of a bundle's symbols, speakers and languages, in the order of their rows."""
    names: dict[RowKind, Sequence[str]] = {}
    if bundle.symbols is not None:
        names["symbol"] = bundle.symbols.symbols
    if bundle.speakers:
        names["speaker"] = sorted(bundle.speakers, key=lambda name: bundle.speakers[name])
        languages = SpokenLanguages.of(bundle.speakers, bundle.languages, bundle.settings.preprocess.language)
        names["language"] = languages.names
    return names


def _with_our_rows(initial: InitialState, settings: ExperimentSettings, task: Task) -> InitialState:
    """Fit tables with a row per symbol, speaker or language to those of the new training."""
    if not isinstance(task, HasEmbeddingRows):
        return initial
    weights = {name: dict(tensors) for name, tensors in initial.modules.items()}
    remarks, changed = list(initial.remarks), set()
    generator = torch.Generator().manual_seed(settings.train.seed)
    for parameter, ours in task.embedding_rows().items():
        module, _, name = parameter.partition(".")
        table = weights.get(module, {}).get(name)
        if table is None:
            continue  # no initial weights of this module, or loading will raise an error
        theirs = initial.names.get(ours.kind)
        if theirs is None and len(table) == len(ours.names):
            remarks.append(
                f"the names of the rows of {parameter} are unknown; they are taken to be those of the new data"
            )
            continue
        if theirs is None or len(theirs) != len(table):
            named = "their names are unknown" if theirs is None else f"its bundle names {len(theirs)}"
            raise BundleError(
                f"{initial.path}: {parameter} has {len(table)} rows of {ours.kind}s, and {named}; start with the "
                "experiment's bundle"
            )
        weights[module][name], transfer = transfer_rows(table, theirs, ours, generator)
        if (line := transfer.describe()) not in remarks:
            remarks.append(line)
        if transfer.is_unchanged:
            weights[module][name] = table
        else:
            changed.add(parameter)
        if transfer.added and any(is_part(parameter, pattern) for pattern in settings.train.freeze):
            remarks.append(f"{parameter} is frozen: its new {ours.kind}s stay as they begin, and are not learned")
    optimizers = {
        name: replace(state, moments={key: kept for key, kept in state.moments.items() if key not in changed})
        for name, state in initial.optimizers.items()
    }
    return replace(initial, modules=weights, optimizers=optimizers, remarks=remarks)


def _with_added_weights(initial: InitialState, task: Task) -> InitialState:
    """Add the task's own weights where the initial ones may lack them, and do."""
    if not isinstance(task, HasWeightsAddedLater):
        return initial
    weights, remarks = {name: dict(tensors) for name, tensors in initial.modules.items()}, list(initial.remarks)
    for parameter in task.weights_added_later():
        module, _, name = parameter.partition(".")
        if module in weights and name not in weights[module]:
            weights[module][name] = task.modules[module].state_dict()[name]
            remarks.append(f"without initial state: {parameter}")
    return replace(initial, modules=weights, remarks=remarks)


def _without_unfitting_discriminators(initial: InitialState, task: Task) -> InitialState:
    """Leave out discriminators of other sizes than the task's, and what an optimizer remembers of them."""
    names = task.discriminators() if isinstance(task, HasDiscriminators) else ()
    unfitting_names = [
        name for name in names if name in initial.modules and unfitting(task.modules[name], initial.modules[name])
    ]
    if not unfitting_names:
        return initial
    modules = {name: weights for name, weights in initial.modules.items() if name not in unfitting_names}
    optimizers = {
        name: replace(
            state,
            moments={key: kept for key, kept in state.moments.items() if key.partition(".")[0] not in unfitting_names},
        )
        for name, state in initial.optimizers.items()
    }
    remarks = [*initial.remarks, *(f"{name} has another size there, and begins at random" for name in unfitting_names)]
    return replace(initial, modules=modules, optimizers=optimizers, remarks=remarks)


def _require_same_model(bundle: Bundle, path: Path, settings: ExperimentSettings) -> None:
    if bundle.settings.model_type != settings.model_type:
        raise BundleError(
            f"{path}: holds a {bundle.settings.model_type}, and the settings ask for a {settings.model_type}"
        )


def _remarks(bundle: Bundle, settings: ExperimentSettings) -> tuple[str, ...]:
    ours, theirs = (
        each.preprocess.model_dump(mode="json", include=set(MEL_SETTINGS)) for each in (settings, bundle.settings)
    )
    differing = differing_settings(ours, theirs)
    remarks = [f"it was trained on other mels; it had -> now asked for: {'; '.join(differing)}"] if differing else []
    encoder = settings.preprocess.speaker_encoder
    if bundle.embeddings is not None and bundle.embeddings.encoder != encoder:
        remarks.append(f"its speaker embeddings are {bundle.embeddings.encoder}'s, and now {encoder} is asked for")
    return tuple(remarks)
