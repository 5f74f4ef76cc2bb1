"""What a new training may begin with: weights, and perhaps what optimizers remembered, from whatever a user names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor, nn

from config.load import differing_settings
from config.paths import rooted
from config.schema import ExperimentSettings
from models.bundle import SYMBOLS_FILE, WEIGHTS_FILE, Bundle, BundleError, find_bundle
from models.registry import PublishedLayout, make_task, published_layout
from processors.text.symbols import SymbolTable
from utils.checkpoint import Checkpoint, CheckpointFolder, load_weights, open_checkpoint
from utils.optimizer_state import OptimizerState, OptimizerStateError, named_state, parameter_names

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
    """

    place: Path
    modules: Mapping[str, Mapping[str, Tensor]]
    optimizers: Mapping[str, OptimizerState] = field(default_factory=dict)
    step: int | None = None
    epoch: int | None = None
    remarks: Sequence[str] = ()

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


def find_beginning(place: Path | str, settings: ExperimentSettings, modules: Mapping[str, nn.Module]) -> Beginning:
    """Open what a new training shall begin with.

    A checkpoint, the newest one of an experiment, a bundle, or a checkpoint in a published layout. Of a checkpoint of
    ours the weights as they are learned are taken, not their moving averages.

    Args:
        place: names it.
        settings: of the new training.
        modules: of the new training; only their names, and those of their parameters, matter here.

    Raises:
        BundleError: there is nothing of the kind, or it is another model's.
        CheckpointError: a checkpoint is damaged.
    """
    place = Path(place)
    if (checkpoint := find_checkpoint(place)) is not None:
        return _of_checkpoint(checkpoint, modules)
    if (layout := _published_layout(place)) is not None:
        bundle = layout.open_published(place)
        _require_same_model(bundle, place, settings)
        beginning = layout.published_training(place)
        return replace(beginning, remarks=(*beginning.remarks, *_mel_remarks(bundle, settings)))
    return _of_bundle(find_bundle(place), place, settings, modules)


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
    symbols_path = rooted(settings.preprocess.processed_dir) / SYMBOLS_FILE
    if bundle.symbols is not None and symbols_path.is_file():
        ours, theirs = SymbolTable.open(symbols_path).symbols, bundle.symbols.symbols
        if ours != theirs:
            differing = sorted(set(ours) ^ set(theirs)) or ["their order"]
            raise BundleError(
                f"{place}: was trained on other symbols than {symbols_path} ({', '.join(differing[:6])}); "
                "prepare the corpus with the same front end"
            )
    # A bundle holds the one network that is used; most of its names are that network's even where it does not fit.
    name = max(modules, key=lambda name: len(modules[name].state_dict().keys() & bundle.weights.keys()))
    return Beginning(place, {name: bundle.weights}, remarks=_mel_remarks(bundle, settings))


def _require_same_model(bundle: Bundle, place: Path, settings: ExperimentSettings) -> None:
    if bundle.settings.model_type != settings.model_type:
        raise BundleError(
            f"{place}: holds a {bundle.settings.model_type}, and the settings ask for a {settings.model_type}"
        )


def _mel_remarks(bundle: Bundle, settings: ExperimentSettings) -> tuple[str, ...]:
    ours, theirs = (
        each.preprocess.model_dump(mode="json", include=_OF_THE_MEL) for each in (settings, bundle.settings)
    )
    differing = differing_settings(ours, theirs)
    return (f"it was trained on other mels; it had -> now asked for: {'; '.join(differing)}",) if differing else ()
