"""Reading and writing of WaveGlow checkpoints in the layouts of NVIDIA's two implementations.

DeepLearningExamples writes `state_dict` and `config`; NVIDIA/waveglow pickles the module itself (`model`), which is
read as `utils.inert_pickle` says: the one exception to the rule that pickles are refused. Conditioning is one
convolution for all layers of a coupling network or one for each; names may begin with `module.`; weights may be
halves, or without weight norm. Settings follow from the shapes; those of the mel are the published ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.bundle import Bundle, BundleError
from models.contracts import InitialState
from models.training.published_files import (
    in_published_order,
    mentions,
    named_weights,
    published_settings,
    read_tensors,
    with_weight_norm,
    write_tensors,
)
from models.waveglow.network import WaveGlow
from models.waveglow.settings import WaveGlowSettings
from utils.inert_pickle import read_modules
from utils.torch_file import TorchFileError

_DEFAULTS = "config/waveglow_256.json"
_MODULE = ("glow", "WaveGlow", "convinv")  # which a pickled module names
_PREFIX = "module."
_NOT_NORMED = ("upsample.", "convinv.", ".end.")


def open_published(path: Path) -> Bundle:
    """Read the flow of a file.

    Raises:
        BundleError: the file is damaged, holds code of anything else, or has unexpected contents.
        SettingsError: its sizes contradict each other.
    """
    payload = _read(path)
    found = next((payload[name] for name in ("state_dict", "model") if name in payload), None)
    if found is None:
        raise BundleError(f"{path}: holds no WaveGlow, but {', '.join(map(str, list(payload)[:5])) or 'nothing'}")
    weights = _in_our_names(named_weights(found, path))
    return Bundle(_settings(weights, path), weights, folder=path)


def published_training(path: Path) -> InitialState:
    """Read the flow; optimizer states of theirs are of another order and are left out.

    Raises:
        BundleError: as for `open_published`.
        SettingsError: likewise.
    """
    bundle = open_published(path)
    return InitialState(path, {"generator": dict(bundle.weights)})


def write_published(
    folder: Path, bundle: Bundle, training: InitialState | None, overwrite: bool = False
) -> Sequence[str]:
    """Write a flow as DeepLearningExamples does, with conditioning split by layers.

    Args:
        folder: created if missing.
        bundle: the flow.
        training: the epoch.
        overwrite: whether to replace an existing file.

    Returns:
        The name of the file.

    Raises:
        BundleError: the weights do not fit, or the file exists already.
    """
    settings = bundle.settings
    assert isinstance(settings, WaveGlowSettings)
    model = settings.model
    config = {
        "n_mel_channels": settings.preprocess.n_mel,
        **{name: getattr(model, name) for name in ("n_flows", "n_group", "n_early_every", "n_early_size")},
        "WN_config": {"n_layers": model.n_layers, "kernel_size": model.kernel_size, "n_channels": model.channels},
    }
    epoch = (training.epoch if training is not None else None) or 0
    path = folder / f"waveglow_{model.channels}_{epoch}.pt"
    weights = in_published_order(WaveGlow.from_bundle(bundle).state_dict())  # checks names and shapes
    write_tensors(path, {"epoch": epoch, "state_dict": weights, "config": config}, overwrite=overwrite)
    return [path.name]


def _read(path: Path) -> dict[str, Any]:
    if not mentions(path, *_MODULE):
        return read_tensors(path)
    try:
        return read_modules(path)
    except TorchFileError as error:
        raise BundleError(str(error)) from error


def _in_our_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return float32 weights with weight norm, conditioning by layers, residual and skip convolutions joined."""
    plain = {name.removeprefix(_PREFIX): tensor.float() for name, tensor in weights.items()}
    joined = dict(plain)
    for name, tensor in plain.items():
        if match := re.fullmatch(r"(WN\.\d+)\.cond_layer\.(\w+)", name):
            del joined[name]
            n_layers = sum(bool(re.fullmatch(rf"{match[1]}\.in_layers\.\d+\.bias", other)) for other in plain)
            for layer, rows in enumerate(tensor.chunk(max(n_layers, 1))):
                joined[f"{match[1]}.cond_layers.{layer}.{match[2]}"] = rows
        elif match := re.fullmatch(r"(WN\.\d+)\.skip_layers\.(\d+\.\w+)", name):
            residual = f"{match[1]}.res_layers.{match[2]}"
            del joined[name]
            rows = torch.cat([joined.pop(residual), tensor]) if residual in plain else tensor
            joined[f"{match[1]}.res_skip_layers.{match[2]}"] = rows
    kept = {name: tensor for name, tensor in joined.items() if any(part in name for part in _NOT_NORMED)}
    return kept | with_weight_norm({name: tensor for name, tensor in joined.items() if name not in kept})


def _settings(weights: Mapping[str, Tensor], path: Path) -> WaveGlowSettings:
    try:
        sizes = [
            weights[f"convinv.{flow}.conv.weight"].shape[0]
            for flow in range(sum(name.startswith("convinv.") for name in weights))
        ]
        upsample, layer = weights["upsample.weight"], weights["WN.0.in_layers.0.weight_v"]
        n_group = sizes[0]
    except (KeyError, IndexError) as error:
        raise BundleError(f"{path}: is no WaveGlow, or a part of it is missing: {error}") from None
    model: dict[str, Any] = {
        "n_flows": len(sizes),
        "n_group": n_group,
        "channels": layer.shape[1],
        "kernel_size": layer.shape[2],
        "n_layers": sum(bool(re.fullmatch(r"WN\.0\.in_layers\.\d+\.bias", name)) for name in weights),
        "upsample_kernel_size": upsample.shape[2],
    }
    if changes := [flow for flow in range(1, len(sizes)) if sizes[flow] != sizes[flow - 1]]:
        model |= {"n_early_every": changes[0], "n_early_size": n_group - sizes[changes[0]]}
    return published_settings(WaveGlowSettings, _DEFAULTS, path, model=model, preprocess={"n_mel": upsample.shape[0]})
