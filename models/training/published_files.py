"""Reading of the files in which models' authors publish checkpoints: tensors, optimizer states, settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from config.load import refined_settings
from config.paths import REPOSITORY
from config.schema import ExperimentSettings
from models.bundle import BundleError
from utils.files import atomic_file
from utils.optimizer_state import OptimizerState, OptimizerStateError, as_state_dict, named_state
from utils.torch_file import TorchFileError, names_within, read_torch_file

SettingsType = TypeVar("SettingsType", bound=ExperimentSettings)
_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
_OPTIONS = {"lr", "initial_lr", "betas", "eps", "weight_decay", "amsgrad", "maximize"}

# Names of the parts of a weight: newer versions of torch to older ones.
_NEWER_NAMES = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
    "parametrizations.weight.original": "weight_orig",
    "parametrizations.weight.0._u": "weight_u",
    "parametrizations.weight.0._v": "weight_v",
}
_ORDER = ("weight", "bias", "weight_orig", "weight_g", "weight_u", "weight_v")  # within one of their layers


def mentions(path: Path, *names: str) -> bool:
    """Return whether a torch file names all of these tensors or keys, without loading it."""
    content = names_within(path)
    return all(name.encode() in content for name in names)


def read_tensors(path: Path) -> dict[str, Any]:
    """Read a dictionary written by `torch.save`, without running code that a pickle may hold.

    Raises:
        BundleError: there is no such file, it is damaged, or it holds more than tensors and numbers.
    """
    try:
        return read_torch_file(path)
    except TorchFileError as error:
        raise BundleError(str(error)) from error


def write_tensors(path: Path, payload: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write a dictionary by `torch.save`, atomically.

    Raises:
        BundleError: the file exists already, and is not to be replaced.
    """
    if path.exists() and not overwrite:
        raise BundleError(f"{path}: exists already; replace it with --overwrite, or choose another folder")
    with atomic_file(path) as partial:
        torch.save(dict(payload), partial)


def named_weights(weights: Any, path: Path) -> dict[str, Tensor]:
    """Check that these are weights, and rename them as in older versions of torch."""
    if not isinstance(weights, Mapping) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise BundleError(f"{path}: holds something other than weights")
    renamed = {}
    for name, tensor in weights.items():
        layer, dot, part = str(name).partition(".parametrizations.")
        renamed[f"{layer}.{_NEWER_NAMES.get(f'parametrizations.{part}', part)}" if dot else layer] = tensor
    return renamed


def with_weight_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights whose weight norm was removed with it, as |w| and w, which equals w within rounding."""
    normed = {}
    for name, tensor in weights.items():
        layer, dot, part = name.rpartition(".")
        if part != "weight" or tensor.ndim < 2:
            normed[name] = tensor
            continue
        length = torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.ndim)), keepdim=True)
        # A channel of zeros has no direction: any one serves, with length 0.
        normed[f"{layer}{dot}weight_g"] = length
        normed[f"{layer}{dot}weight_v"] = torch.where(length == 0, torch.ones_like(tensor), tensor)
    return normed


def in_published_order(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Order weights as in the authors' code: the layers unchanged, within a layer the bias first."""
    layers: dict[str, list[str]] = {}
    for name in weights:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    names = [
        name
        for layer in layers.values()
        for name in sorted(layer, key=lambda name: _ORDER.index(name.rpartition(".")[2]))
    ]
    return {name: weights[name].detach().cpu().clone().contiguous() for name in names}


def _parameters(weights: Mapping[str, Tensor], module: str) -> list[str]:
    """Return the names of a module's parameters in an optimizer: all but the buffers of spectral norm."""
    spectral = {name.rpartition(".")[0] for name in weights if name.endswith(".weight_orig")}
    return [
        f"{module}.{name}"
        for name in weights
        if not (name.rpartition(".")[0] in spectral and name.endswith((".weight_u", ".weight_v")))
    ]


def read_optimizer(
    state: Any, weights: Mapping[str, Mapping[str, Tensor]], modules: Iterable[str], where: str
) -> OptimizerState:
    """Read the `state_dict()` of an Adam over modules, whose parameters are in the order of their weights.

    Raises:
        BundleError: it belongs to other parameters or to another optimizer.
    """
    names = [name for module in modules for name in _parameters(weights[module], module)]
    try:
        named = named_state(state, names)
    except OptimizerStateError as error:
        raise BundleError(f"{where}: {error}; without the file all but the generator start from scratch") from error
    for name, kept in named.moments.items():
        module, _, parameter = name.partition(".")
        shape = weights[module][parameter].shape
        if _MOMENTS - kept.keys() or any(
            not isinstance(kept[key], Tensor) or kept[key].shape != shape for key in _MOMENTS - {"step"}
        ):
            raise BundleError(f"{where}: the state of {name} is not AdamW's, or of another shape than the weights")
    moments = {name: {key: kept[key] for key in _MOMENTS} for name, kept in named.moments.items()}
    return OptimizerState(moments, named.options)


def optimizer_payload(
    state: OptimizerState, weights: Mapping[str, Mapping[str, Tensor]], modules: Iterable[str]
) -> dict[str, Any]:
    """Return the `state_dict()` of an optimizer over modules, in the order of their published weights."""
    options = {name: value for name, value in state.options.items() if name in _OPTIONS}
    names = [name for module in modules for name in _parameters(weights[module], module)]
    return as_state_dict(replace(state, options=options), names)


def read_optimizers(
    payload: Mapping[str, Any],
    weights: Mapping[str, Mapping[str, Tensor]],
    table: Mapping[str, tuple[str, Sequence[str]]],
    path: Path,
) -> dict[str, OptimizerState]:
    """Read the optimizers of a file by our names.

    Args:
        payload: of the file.
        weights: of the modules, by our names.
        table: key in the file to our name and the modules, in the order of the optimizer's parameters.
        path: of the file, for messages.

    Raises:
        BundleError: as for `read_optimizer`.
    """
    return {
        ours: read_optimizer(payload[theirs], weights, modules, f"{path}: {theirs}")
        for theirs, (ours, modules) in table.items()
    }


def published_settings(
    settings_class: type[SettingsType],
    defaults: str,
    path: Path,
    *,
    model: Mapping[str, Any],
    preprocess: Mapping[str, Any],
    train: Mapping[str, Any] | None = None,
) -> SettingsType:
    """Return the settings of a published checkpoint, whose corpus is unknown.

    Args:
        settings_class: of the model.
        defaults: the file in `config/` that has what the checkpoint does not state.
        path: where the values come from, for messages.
        model, preprocess, train: what it states, by our names; `fmax` may be None, for half of the sample rate.

    Raises:
        SettingsError: values contradict each other or are not supported.
    """
    mel = dict(preprocess)
    if mel.get("fmax", 0) is None and isinstance(mel.get("sample_rate"), int):
        mel["fmax"] = mel["sample_rate"] / 2
    stated = {"model": dict(model), "preprocess": mel, "train": dict(train or {})}
    layer = {"base_config": defaults, "dataset": ["original"], "dataset_path": {"original": "unknown"}, **stated}
    settings = refined_settings(REPOSITORY / defaults, layer, str(path), lambda _: settings_class)
    assert isinstance(settings, settings_class)
    return settings
