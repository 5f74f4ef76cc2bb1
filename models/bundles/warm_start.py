"""What a new training may begin with: weights, and perhaps what optimizers remembered, from whatever a user names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from config.load import differing_settings
from config.schema import ExperimentSettings
from models.bundle import WEIGHTS_FILE, Bundle, BundleError, find_bundle
from models.bundles.embedding_rows import HasNamedRows, Kind, match_rows
from models.registry import PublishedLayout, make_task, published_layout
from utils.checkpoint import Checkpoint, CheckpointFolder, load_weights, open_checkpoint
from utils.optimizer_state import OptimizerState, OptimizerStateError, named_state, parameter_names
from utils.parameter_groups import is_part
from utils.task import Task

_OF_THE_MEL = {"sample_rate", "n_fft", "hop_size", "win_size", "n_mel", "fmin", "fmax"}


@dataclass(frozen=True)
class Beginning:
    """What others learned.

    Attributes:
        place: where it was found.
        modules: the weights of each module, by its name in the task; in the order of its parameters.
        optimizers: what each optimizer remembered, by its name in the task.
        step: steps that lie behind it; None where nobody wrote them down.
        epoch: likewise.
        remarks: what a person should know who begins with it.
        names: of the symbols and speakers that its tables have rows for, in their order; nothing where it has no such
            tables, or nobody wrote them down.
    """

    place: Path
    modules: Mapping[str, Mapping[str, Tensor]]
    optimizers: Mapping[str, OptimizerState] = field(default_factory=dict)
    step: int | None = None
    epoch: int | None = None
    remarks: Sequence[str] = ()
    names: Mapping[Kind, Sequence[str]] = field(default_factory=dict)

    def load_into(self, modules: Mapping[str, nn.Module]) -> None:
        """Give modules their weights; those without any stay as they are.

        Raises:
            CheckpointError: tensors are missing, unknown or of another shape; they are named.
        """
        for name, weights in self.modules.items():
            load_weights(modules[name], weights, f"{self.place}: the weights of {name}")

    def story(self, modules: Sequence[str], optimizers: Sequence[str]) -> Iterator[str]:
        """Say what is taken over and what begins afresh.

        Args:
            modules: names of all that the task has.
            optimizers: likewise.
        """
        taken = f"beginning with the weights of {self.place}: {', '.join(self.modules)}"
        if self.optimizers:
            known = [name for name in optimizers if name in self.optimizers]
            taken += f"; with the optimizer states of {' and '.join(known)} at step {self.step}"
        yield taken
        afresh = [name for name in modules if name not in self.modules]
        afresh += [f"optimizer of {name}" for name in optimizers if name not in self.optimizers]
        if afresh:
            yield f"beginning afresh: {', '.join(afresh)}"
        yield from self.remarks


def find_beginning(place: Path | str, settings: ExperimentSettings, task: Task) -> Beginning:
    """Open what a new training shall begin with.

    A checkpoint, the newest one of an experiment, a bundle, or a checkpoint in a published layout. Of a checkpoint of
    ours the weights as they are learned are taken, not their moving averages. Where the new training has other
    symbols or speakers, rows of tables are carried over by name (see `match_rows`); what an optimizer remembers of a
    table that changed is left behind.

    Args:
        place: names it.
        settings: of the new training.
        task: the new training; its weights do not matter here.

    Raises:
        BundleError: there is nothing of the kind, it is another model's, or nobody knows its symbols or speakers.
        CheckpointError: a checkpoint is damaged.
    """
    return _with_our_rows(_find_beginning(Path(place), settings, task), settings, task)


def _find_beginning(place: Path, settings: ExperimentSettings, task: Task) -> Beginning:
    if (checkpoint := find_checkpoint(place)) is not None:
        beginning = _of_checkpoint(checkpoint, task.modules)
        bundle_folder = checkpoint.folder.parent.parent / "bundle"
        if not isinstance(task, HasNamedRows) or not bundle_folder.is_dir():
            return beginning
        bundle = Bundle.open(bundle_folder)
        _require_same_model(bundle, place, settings)
        return replace(beginning, names=_names(bundle), remarks=_remarks(bundle, settings))
    if (layout := _published_layout(place)) is not None:
        bundle = layout.open_published(place)
        _require_same_model(bundle, place, settings)
        beginning = layout.published_training(place)
        return replace(beginning, remarks=(*beginning.remarks, *_remarks(bundle, settings)))
    return _of_bundle(find_bundle(place), place, settings, task.modules)


def find_training(place: Path | str, settings: ExperimentSettings) -> Beginning | None:
    """Read what is needed for going on with a training just where it stands; None where a place has only a model.

    Args:
        place: a checkpoint of ours, an experiment, or a checkpoint in a published layout.
        settings: those it was trained with.

    Raises:
        CheckpointError: a checkpoint is damaged.
    """
    place = Path(place)
    if (checkpoint := find_checkpoint(place)) is None:
        layout = _published_layout(place)
        return layout.published_training(place) if layout is not None else None
    task, state = make_task(settings), checkpoint.training_state()
    optimizers = {}
    for name, optimization in task.optimizers().items():
        try:
            names = parameter_names(optimization.optimizer, task.modules)
            optimizers[name] = named_state(state["optimizers"][name], names)
        except (KeyError, OptimizerStateError) as error:
            raise BundleError(f"{checkpoint.folder}: what is kept for the optimizer of {name}: {error}") from error
    beginning = _of_checkpoint(checkpoint, task.modules)
    return replace(beginning, optimizers=optimizers, epoch=checkpoint.facts["epoch"])


def _published_layout(place: Path) -> PublishedLayout | None:
    is_ours = (place / "bundle").is_dir() or (place / WEIGHTS_FILE).is_file()
    return None if is_ours else published_layout(place)


def find_checkpoint(place: Path) -> Checkpoint | None:
    """Open a checkpoint, or the newest one of a folder of them, or of an experiment; None if there is none.

    Raises:
        CheckpointError: what there is is damaged.
    """
    for folder in (CheckpointFolder(place), CheckpointFolder(place / "checkpoint")):
        if newest := folder.newest():
            return newest
    is_one = (place / "checkpoint.json").is_file() or place in CheckpointFolder(place.parent).folders()
    return open_checkpoint(place) if is_one else None


def _of_checkpoint(checkpoint: Checkpoint, modules: Mapping[str, nn.Module]) -> Beginning:
    held = {path.stem for path in checkpoint.folder.glob("*.safetensors")}
    if not held & set(modules):
        raise BundleError(
            f"{checkpoint.folder}: holds {', '.join(sorted(held)) or 'nothing'}, and this model needs "
            f"{', '.join(modules)}: it is another model's"
        )
    weights = {name: _as_in(module, checkpoint.weights(name)) for name, module in modules.items() if name in held}
    return Beginning(checkpoint.folder, weights, step=checkpoint.step)


def _as_in(module: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put weights into a module's order: in a file of safetensors they stand by the alphabet."""
    ordered = [name for name in module.state_dict() if name in weights]
    return {name: weights[name] for name in [*ordered, *(name for name in weights if name not in ordered)]}


def _of_bundle(
    bundle: Bundle, place: Path, settings: ExperimentSettings, modules: Mapping[str, nn.Module]
) -> Beginning:
    _require_same_model(bundle, place, settings)
    # A bundle holds the one network that is used; most of its names are that network's even where it does not fit.
    name = max(modules, key=lambda name: len(modules[name].state_dict().keys() & bundle.weights.keys()))
    return Beginning(place, {name: bundle.weights}, names=_names(bundle), remarks=_remarks(bundle, settings))


def _names(bundle: Bundle) -> dict[Kind, Sequence[str]]:
    names: dict[Kind, Sequence[str]] = {}
    if bundle.symbols is not None:
        names["symbol"] = bundle.symbols.symbols
    if bundle.speakers:
        names["speaker"] = sorted(bundle.speakers, key=lambda name: bundle.speakers[name])
    return names


def _with_our_rows(beginning: Beginning, settings: ExperimentSettings, task: Task) -> Beginning:
    """Fit tables with a row per symbol or speaker to those of the new training."""
    if not isinstance(task, HasNamedRows):
        return beginning
    weights = {name: dict(tensors) for name, tensors in beginning.modules.items()}
    remarks, changed = list(beginning.remarks), set()
    generator = torch.Generator().manual_seed(settings.train.seed)
    for parameter, ours in task.named_rows().items():
        module, _, name = parameter.partition(".")
        table = weights.get(module, {}).get(name)
        if table is None:
            continue  # the module begins afresh, or loading will say that its weights are not this network's
        theirs = beginning.names.get(ours.kind)
        if theirs is None and len(table) == len(ours.names):
            remarks.append(f"nobody wrote down whose rows {parameter} has: they are taken to stand as in the new data")
            continue
        if theirs is None or len(theirs) != len(table):
            told = "nothing says for which" if theirs is None else f"its bundle names {len(theirs)}"
            raise BundleError(
                f"{beginning.place}: {parameter} has {len(table)} rows of {ours.kind}s, and {told}; begin with the "
                "experiment's bundle"
            )
        weights[module][name], match = match_rows(table, theirs, ours, generator)
        if (story := match.story()) not in remarks:
            remarks.append(story)
        if match.is_as_it_was:
            weights[module][name] = table
        else:
            changed.add(parameter)
        if match.added and any(is_part(parameter, pattern) for pattern in settings.train.freeze):
            remarks.append(f"{parameter} is frozen: its new {ours.kind}s stay as they begin, and are not learned")
    optimizers = {
        name: replace(state, moments={key: kept for key, kept in state.moments.items() if key not in changed})
        for name, state in beginning.optimizers.items()
    }
    return replace(beginning, modules=weights, optimizers=optimizers, remarks=remarks)


def _require_same_model(bundle: Bundle, place: Path, settings: ExperimentSettings) -> None:
    if bundle.settings.model_type != settings.model_type:
        raise BundleError(
            f"{place}: holds a {bundle.settings.model_type}, and the settings ask for a {settings.model_type}"
        )


def _remarks(bundle: Bundle, settings: ExperimentSettings) -> tuple[str, ...]:
    ours, theirs = (
        each.preprocess.model_dump(mode="json", include=_OF_THE_MEL) for each in (settings, bundle.settings)
    )
    differing = differing_settings(ours, theirs)
    remarks = [f"it was trained on other mels; it had -> now asked for: {'; '.join(differing)}"] if differing else []
    encoder = settings.preprocess.speaker_encoder
    if bundle.embeddings is not None and bundle.embeddings.encoder != encoder:
        remarks.append(f"it knew speakers by what {bundle.embeddings.encoder} hears, and now {encoder} is asked for")
    return tuple(remarks)
